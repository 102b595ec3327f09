package portmap

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/huin/goupnp"
	"github.com/huin/goupnp/dcps/internetgateway2"
	"github.com/huin/goupnp/httpu"
	"github.com/huin/goupnp/soap"
	"github.com/huin/goupnp/ssdp"
)

// wan is what a router's service can do for us; its versions differ in their types only.
type wan interface {
	AddPortMappingCtx(ctx context.Context, remoteHost string, external uint16, protocol string, internal uint16, client string, enabled bool, description string, seconds uint32) error
	DeletePortMappingCtx(ctx context.Context, remoteHost string, external uint16, protocol string) error
	GetExternalIPAddressCtx(ctx context.Context) (string, error)
}

// upnp is a router that was found by UPnP, and our address on its network.
type upnp struct {
	service wan
	local   netip.Addr
}

const (
	// igd is what routers answer to, those of version 2 as well.
	igd = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
	// maxRouters bounds how many devices that call themselves routers are asked.
	maxRouters = 4
	// maxXML bounds what is read of one answer, in bytes.
	maxXML = 256 << 10
)

// findUPnP looks for routers on the networks that we are attached to. Only what a device says from
// its own address on one of them is believed: it must not have us ask others.
func findUPnP(ctx context.Context) (*upnp, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var clients []httpu.ClientInterfaceCtx
	networks := ownNetworks()
	for _, n := range networks {
		c, err := httpu.NewHTTPUClientAddr(n.Addr().String())
		if err != nil {
			continue // the address has just gone
		}
		defer c.Close()
		clients = append(clients, c)
	}
	if len(clients) == 0 {
		return nil, errors.New("no network to look for a router on")
	}
	search, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	answers, err := ssdp.RawSearch(search, httpu.NewMultiClientCtx(clients), igd, 2)
	if err != nil {
		return nil, fmt.Errorf("looking for a router by UPnP: %w", err)
	}
	why := errors.New("no router answers by UPnP")
	for _, a := range answers[:min(len(answers), maxRouters)] {
		u, err := describeRouter(ctx, a.Header.Get("Location"), networks)
		if err == nil {
			return u, nil
		}
		why = err
	}
	return nil, why
}

// ownNetworks are those of IPv4 that this machine is attached to, each with its own address.
func ownNetworks() (l []netip.Prefix) {
	addrs, _ := net.InterfaceAddrs() // none known: none asked
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			ones, _ := n.Mask.Size()
			l = append(l, netip.PrefixFrom(netip.AddrFrom4([4]byte(n.IP.To4())), ones))
		}
	}
	return l
}

// describeRouter reads a router's description of itself, and finds the service that maps ports.
func describeRouter(ctx context.Context, location string, networks []netip.Prefix) (*upnp, error) {
	loc, err := url.Parse(location)
	if err != nil || loc.Scheme != "http" {
		return nil, fmt.Errorf("a router describes itself at %.80q", location)
	}
	host, err := netip.ParseAddr(loc.Hostname())
	var local netip.Addr
	for _, n := range networks {
		if err == nil && n.Contains(host.Unmap()) {
			local = n.Addr()
		}
	}
	if !local.IsValid() {
		return nil, fmt.Errorf("a router describes itself at %s, which is not on this network", loc.Host)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, loc.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := client().Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking a router to describe itself: %w", err)
	}
	defer resp.Body.Close()
	service, err := parseDescription(resp.Body, loc)
	if err != nil {
		return nil, fmt.Errorf("the description of the router at %s: %w", loc.Host, err)
	}
	return &upnp{service, local}, nil
}

// parseDescription finds the service that maps ports in a router's description of itself, which
// was read from loc.
func parseDescription(r io.Reader, loc *url.URL) (wan, error) {
	root := new(goupnp.RootDevice)
	d := xml.NewDecoder(r)
	d.DefaultSpace = goupnp.DeviceXMLNamespace
	if err := d.Decode(root); err != nil {
		return nil, err
	}
	base := loc
	if root.URLBaseStr != "" {
		var err error
		if base, err = url.Parse(root.URLBaseStr); err != nil {
			return nil, err
		}
	}
	root.SetURLBase(base)
	for _, urn := range []string{internetgateway2.URN_WANIPConnection_2, internetgateway2.URN_WANIPConnection_1, internetgateway2.URN_WANPPPConnection_1} {
		services, err := goupnp.NewServiceClientsFromRootDevice(root, loc, urn)
		if err != nil {
			continue // it has no such service
		}
		for _, s := range services {
			if u := s.SOAPClient.EndpointURL; u.Scheme != "http" || u.Hostname() != loc.Hostname() {
				continue
			}
			s.SOAPClient.HTTPClient = *client()
			switch urn {
			case internetgateway2.URN_WANIPConnection_2:
				return &internetgateway2.WANIPConnection2{ServiceClient: s}, nil
			case internetgateway2.URN_WANIPConnection_1:
				return &internetgateway2.WANIPConnection1{ServiceClient: s}, nil
			}
			return &internetgateway2.WANPPPConnection1{ServiceClient: s}, nil
		}
	}
	return nil, errors.New("it maps no ports")
}

// client talks to a router: without proxies, without being sent elsewhere, and not for long.
func client() *http.Client {
	return &http.Client{
		Timeout:       5 * time.Second,
		Transport:     bounded{&http.Transport{DisableKeepAlives: true}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bounded reads no more than maxXML of an answer.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxXML), resp.Body}
	}
	return resp, err
}

// add maps a port. A lease that a router does not know becomes a lasting one, which we take back at
// the end.
func (u *upnp) add(ctx context.Context, r request) (answer, error) {
	name, client := protocolName(r.Protocol), u.local
	seconds := uint32(r.Lifetime / time.Second)
	err := u.service.AddPortMappingCtx(ctx, "", r.External, name, r.Internal, client.String(), true, "shoal", seconds)
	var fault *soap.SOAPFaultError
	if errors.As(err, &fault) && seconds != 0 { // error 725, OnlyPermanentLeasesSupported; some say 402
		err = u.service.AddPortMappingCtx(ctx, "", r.External, name, r.Internal, client.String(), true, "shoal", 0)
	}
	if err != nil {
		return answer{}, fmt.Errorf("asking the router by UPnP: %w", err)
	}
	a := answer{External: netip.AddrPortFrom(netip.Addr{}, r.External), Lifetime: r.Lifetime}
	if text, err := u.service.GetExternalIPAddressCtx(ctx); err == nil {
		if ip, err := netip.ParseAddr(text); err == nil {
			a.External = netip.AddrPortFrom(ip.Unmap(), r.External)
		}
	}
	return a, nil
}

func (u *upnp) remove(ctx context.Context, r request) {
	u.service.DeletePortMappingCtx(ctx, "", r.External, protocolName(r.Protocol)) // it is gone with the lease, too
}

func protocolName(p byte) string {
	if p == udp {
		return "UDP"
	}
	return "TCP"
}
