package portmap

import (
	"bytes"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/huin/goupnp/dcps/internetgateway2"
)

// description is what a router says of itself.
const description = `<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major><minor>0</minor></specVersion>
<device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><friendlyName>fake</friendlyName><UDN>uuid:1</UDN>
<deviceList><device><deviceType>urn:schemas-upnp-org:device:WANDevice:1</deviceType><UDN>uuid:2</UDN>
<deviceList><device><deviceType>urn:schemas-upnp-org:device:WANConnectionDevice:1</deviceType><UDN>uuid:3</UDN>
<serviceList><service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><serviceId>urn:upnp-org:serviceId:WANIPConn1</serviceId>
<SCPDURL>/scpd.xml</SCPDURL><controlURL>/control</controlURL><eventSubURL>/event</eventSubURL></service></serviceList>
</device></deviceList></device></deviceList></device></root>`

// FuzzDescription: whatever a device says, it does not have us ask anybody else.
func FuzzDescription(f *testing.F) {
	f.Add([]byte(description))
	f.Add([]byte(strings.Replace(description, "/control<", "http://192.0.2.1/control<", 1)))
	f.Add([]byte(strings.Replace(description, "<device>", "<URLBase>http://192.0.2.1/</URLBase><device>", 1)))
	f.Add([]byte(strings.Replace(description, "WANIPConnection:1", "WANPPPConnection:1", 1)))
	loc, err := url.Parse("http://198.18.0.1:5000/desc.xml")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := parseDescription(bytes.NewReader(b), loc)
		if err != nil {
			return
		}
		var u url.URL
		switch s := w.(type) {
		case *internetgateway2.WANIPConnection1:
			u = s.SOAPClient.EndpointURL
		case *internetgateway2.WANIPConnection2:
			u = s.SOAPClient.EndpointURL
		case *internetgateway2.WANPPPConnection1:
			u = s.SOAPClient.EndpointURL
		}
		if u.Hostname() != "198.18.0.1" || u.Scheme != "http" {
			t.Fatalf("we would ask %v", &u)
		}
	})
}

func TestDescription(t *testing.T) {
	loc, _ := url.Parse("http://198.18.0.1:5000/desc.xml")
	w, err := parseDescription(strings.NewReader(description), loc)
	if s, ok := w.(*internetgateway2.WANIPConnection1); !ok || s.SOAPClient.EndpointURL.String() != "http://198.18.0.1:5000/control" {
		t.Errorf("%v, %v", w, err)
	}
	for name, text := range map[string]string{
		"elsewhere":      strings.Replace(description, "/control<", "http://192.0.2.1/control<", 1),
		"based there":    strings.Replace(description, "<device>", "<URLBase>http://192.0.2.1/</URLBase><device>", 1),
		"no router":      strings.ReplaceAll(description, "WANIPConnection", "Printing"),
		"cut off":        description[:300],
		"not a document": "no",
	} {
		if w, err := parseDescription(strings.NewReader(text), loc); err == nil {
			t.Errorf("%s: taken as %v", name, w)
		}
	}
	networks := []netip.Prefix{netip.MustParsePrefix("198.18.0.2/16")}
	for _, bad := range []string{"http://192.0.2.1/desc.xml", "https://198.18.0.1/desc.xml", "http://router.example/desc.xml", "", "::"} {
		if _, err := describeRouter(t.Context(), bad, networks); err == nil {
			t.Errorf("%q was asked", bad)
		}
	}
}
