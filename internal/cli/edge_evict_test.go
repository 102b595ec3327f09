package cli

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"testing"

	"shoal/internal/swarmtest"
)

// listed says whether a tracker lists a port of this machine for a content, by its v2 info hash in hex.
func listed(t *testing.T, tracker, infohash, port string) bool {
	t.Helper()
	hash, err := hex.DecodeString(infohash)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	q := url.Values{"info_hash": {string(hash[:20])}, "peer_id": {"-XX0000-123456789012"}, "port": {"9"}, "left": {"1"}, "uploaded": {"0"}, "downloaded": {"0"}, "compact": {"1"}}
	resp, body := fetchURL(t, tracker+"/announce?"+q.Encode())
	if resp.StatusCode != http.StatusOK || bytes.Contains(body, []byte("failure")) {
		t.Fatalf("the tracker answers %s %q", resp.Status, body)
	}
	return bytes.Contains(body, binary.BigEndian.AppendUint16([]byte{127, 0, 0, 1}, uint16(number)))
}

// What has to go for something else leaves the tracker as well, and who asks for it then is led elsewhere on the connection that there is.
func TestEvictedContentLeavesItsSwarm(t *testing.T) {
	t.Parallel()
	const size = 5 << 20
	_, _, origin, _ := newOrigin(t, size, "a", "b")
	_, edge := node(swarmtest.Local(t), origin, "--pull-through", "--quota", "8Mi") // room for one
	_, _, port := cutURL(edge)
	kept := func() (ref, infohash string) {
		list, _ := edgeState(t, edge)["contents"].([]any)
		for _, x := range list {
			if e := swarmtest.Event(x.(map[string]any)); e.String("state") == "whole" {
				ref, infohash = e.String("name"), e.String("infohash")
			}
		}
		return ref, infohash
	}

	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	connections := 0
	ask := func(app string) (code, n int) {
		req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
			if !c.Reused {
				connections++
			}
		}}), http.MethodGet, fmt.Sprintf("%s/%s@1.0/%s.bin", edge, app, app), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, len(body)
	}
	fetchURL(t, edge+"/a:stable/a.bin") // as soon as it knows its origin
	waitUntil(t, "a is kept", func() bool { ref, _ := kept(); return ref == "a@1.0" })
	_, a := kept()
	waitUntil(t, "the tracker lists the edge for it", func() bool { return listed(t, origin, a, port) })
	if code, n := ask("a"); code != http.StatusOK || n != size {
		t.Errorf("a while it is here: status %d, %d bytes", code, n)
	}
	waitUntil(t, "b is worth more and takes its room", func() bool { ask("b"); ref, _ := kept(); return ref == "b@1.0" })
	waitUntil(t, "the tracker lists the edge for a no more", func() bool { return !listed(t, origin, a, port) })
	_, b := kept()
	waitUntil(t, "but for b", func() bool { return listed(t, origin, b, port) })
	if code, _ := ask("a"); code != http.StatusTemporaryRedirect {
		t.Errorf("a when it has gone: status %d, want to be led to the origin", code)
	}
	if code, n := ask("b"); code != http.StatusOK || n != size {
		t.Errorf("b after that: status %d, %d bytes", code, n)
	}
	if connections != 1 {
		t.Errorf("all that took %d connections, want one that nothing breaks", connections)
	}
}
