package portmap

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"shoal/internal/swarmtest"
)

// play is set for processes of the test binary that play a part in a network namespace.
const play = "SHOAL_TEST_PLAY"

func TestMain(m *testing.M) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	switch os.Getenv(play) {
	case "":
		os.Exit(m.Run())
	case "machine":
		Run(ctx, Config{Port: 7070, Mapped: func(a netip.AddrPort) { fmt.Println("mapped", a) }, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	case "pcp":
		c, err := net.ListenUDP("udp4", &net.UDPAddr{Port: pcpPort})
		if err != nil {
			panic(err)
		}
		fmt.Println("ready")
		(&router{conn: c, mappings: make(map[[2]uint16]uint16)}).serve()
	case "upnp":
		playUPnP(os.Getenv(play + "_ADDR"))
	}
}

// In a network of its own a machine finds its router: by the default route, or by asking everybody.
func TestRouterIsFound(t *testing.T) {
	swarmtest.Require(t, "netns", "ip")
	for _, kind := range []string{"pcp", "upnp"} {
		t.Run(kind, func(t *testing.T) {
			n := swarmtest.NewNetwork(t)
			router, machine := n.Host(), n.Host()
			router.Setenv(play, kind)
			router.Setenv(play+"_ADDR", router.Addr.String())
			r := router.StartProgram(os.Args[0])
			r.ExpectLine("^ready")
			if kind == "pcp" {
				machine.Do("ip", "route", "add", "default", "via", router.Addr.String())
			}
			machine.Setenv(play, "machine")
			m := machine.StartProgram(os.Args[0])
			m.ExpectLine(`^mapped 203\.0\.113\.9:7070$`)
			if kind == "upnp" {
				r.ExpectLine(`^add TCP 7070 to 198\.18\.0\.2:7070 for 0 s$`) // it knows lasting ones only
				r.ExpectLine(`^add UDP 7070 to 198\.18\.0\.2:7070 for 0 s$`)
			}
			m.Stop()
			if kind == "upnp" {
				r.ExpectLine(`^delete TCP 7070$`)
				r.ExpectLine(`^delete UDP 7070$`)
			}
		})
	}
}

// playUPnP is a router as cheap ones are: version 1 of everything, and no leases that end.
func playUPnP(addr string) {
	web, err := net.Listen("tcp", addr+":0")
	if err != nil {
		panic(err)
	}
	group := &net.UDPAddr{IP: net.IPv4(239, 255, 255, 250), Port: 1900}
	eth0, err := net.InterfaceByName("eth0")
	if err != nil {
		panic(err)
	}
	search, err := net.ListenMulticastUDP("udp4", eth0, group)
	if err != nil {
		panic(err)
	}
	go http.Serve(web, &igdHandler{})
	fmt.Println("ready")
	b := make([]byte, 2000)
	for {
		n, from, err := search.ReadFromUDP(b)
		if err != nil {
			panic(err)
		}
		if q := string(b[:n]); !strings.HasPrefix(q, "M-SEARCH * HTTP/1.1\r\n") || !strings.Contains(q, igd) {
			continue
		}
		// One that would have us ask elsewhere, and then the right one.
		for _, host := range []string{"192.0.2.1:80", web.Addr().String()} {
			fmt.Fprintf(search2(from), "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: %s\r\nUSN: uuid:%s::%s\r\nEXT:\r\nSERVER: x\r\nLOCATION: http://%s/desc.xml\r\n\r\n", igd, host, igd, host)
		}
	}
}

// search2 sends to who has asked, each answer from a socket of its own.
func search2(to *net.UDPAddr) io.Writer {
	c, err := net.DialUDP("udp4", nil, to)
	if err != nil {
		panic(err)
	}
	return c
}

type igdHandler struct{ mu sync.Mutex }

func (h *igdHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w.Header().Set("Content-Type", `text/xml; charset="utf-8"`)
	if r.URL.Path == "/desc.xml" {
		io.WriteString(w, description)
		return
	}
	b, _ := io.ReadAll(io.LimitReader(r.Body, 10_000))
	field := func(name string) string {
		m := regexp.MustCompile("<" + name + ">([^<]*)</" + name + ">").FindSubmatch(b)
		if m == nil {
			return "?"
		}
		return string(m[1])
	}
	action := r.Header.Get("SOAPACTION")
	answer := ""
	switch {
	case strings.Contains(action, "#AddPortMapping") && field("NewLeaseDuration") != "0":
		w.WriteHeader(500)
		io.WriteString(w, `<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body><s:Fault>
<faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail><UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>725</errorCode><errorDescription>OnlyPermanentLeasesSupported</errorDescription></UPnPError></detail>
</s:Fault></s:Body></s:Envelope>`)
		return
	case strings.Contains(action, "#AddPortMapping"):
		fmt.Printf("add %s %s to %s:%s for %s s\n", field("NewProtocol"), field("NewExternalPort"), field("NewInternalClient"), field("NewInternalPort"), field("NewLeaseDuration"))
		answer = "AddPortMapping"
	case strings.Contains(action, "#DeletePortMapping"):
		fmt.Printf("delete %s %s\n", field("NewProtocol"), field("NewExternalPort"))
		answer = "DeletePortMapping"
	case strings.Contains(action, "#GetExternalIPAddress"):
		answer = "GetExternalIPAddress"
	}
	inner := ""
	if answer == "GetExternalIPAddress" {
		inner = "<NewExternalIPAddress>203.0.113.9</NewExternalIPAddress>"
	}
	fmt.Fprintf(w, `<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>
<u:%[1]sResponse xmlns:u="urn:schemas-upnp-org:service:WANIPConnection:1">%[2]s</u:%[1]sResponse></s:Body></s:Envelope>`, answer, inner)
}
