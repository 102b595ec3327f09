package daemon

import (
	"crypto/tls"
	"io"
)

// certificate is followed for its certificate; the key is read with it.
func certificate(certFile, keyFile string) *followed[*tls.Certificate] {
	return &followed[*tls.Certificate]{what: "certificate", path: certFile, parse: func(io.Reader) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		return &pair, err
	}}
}

// tlsConfig serves what the file holds at the moment: certificates of today are renewed every few weeks.
func tlsConfig(f *followed[*tls.Certificate]) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.get(), nil },
	}
}
