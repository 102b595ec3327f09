package dht

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Datagrams that have crashed other implementations, or might: each is dropped or refused, and the node
// goes on answering.
func TestHostileDatagrams(t *testing.T) {
	id := strings.Repeat("i", 20)
	hash := strings.Repeat("h", 20)
	hostile := map[string]string{
		"announce_peer without arguments":     "d1:q13:announce_peer1:t2:aa1:y1:qe",
		"put without arguments":               "d1:q3:put1:t2:aa1:y1:qe",
		"announce_peer without a token":       "d1:ad2:id20:" + id + "9:info_hash20:" + hash + "4:porti80ee1:q13:announce_peer1:t2:aa1:y1:qe",
		"announce_peer with a foreign token":  "d1:ad2:id20:" + id + "9:info_hash20:" + hash + "4:porti80e5:token8:xxxxxxxxe1:q13:announce_peer1:t2:aa1:y1:qe",
		"put of a mutable item without seq":   "d1:ad2:id20:" + id + "1:k32:" + strings.Repeat("k", 32) + "3:sig64:" + strings.Repeat("s", 64) + "5:token8:xxxxxxxx1:v1:xe1:q3:put1:t2:aa1:y1:qe",
		"get without a target":                "d1:ad2:id20:" + id + "e1:q3:get1:t2:aa1:y1:qe",
		"find_node with a short target":       "d1:ad2:id20:" + id + "6:target3:abce1:q9:find_node1:t2:aa1:y1:qe",
		"an id of 19 bytes":                   "d1:ad2:id19:" + id[1:] + "e1:q4:ping1:t2:aa1:y1:qe",
		"a transaction of 1000 bytes":         "d1:ad2:id20:" + id + "e1:q4:ping1:t1000:" + strings.Repeat("t", 1000) + "1:y1:qe",
		"an answer that nobody has asked for": "d1:rd2:id20:" + id + "e1:t2:aa1:y1:re",
		"an answer without r":                 "d1:t2:aa1:y1:re",
		"an error without a list":             "d1:t2:aa1:y1:ee",
		"nested without end":                  "d1:a" + strings.Repeat("l", 1500),
		"a length that is none":               "d1:a99999999999999999999:",
		"nothing but a letter":                "d",
		"keys that are numbers":               "di1e1:ae",
	}
	synctest.Test(t, func(t *testing.T) {
		l := newLAN()
		n := l.start(t, Config{})
		ask := func(from netip.AddrPort, datagram string) (answers []string) {
			n.HandleUDP([]byte(datagram), from, func(b []byte) { answers = append(answers, string(b)) })
			time.Sleep(time.Second)
			synctest.Wait()
			return answers
		}
		for name, datagram := range hostile {
			from := l.address()
			for _, a := range ask(from, datagram) {
				if !strings.Contains(a, "1:y1:e") {
					t.Errorf("%s: answered %q, want nothing or an error", name, a)
				}
			}
			if got := ask(from, "d1:ad2:id20:"+id+"e1:q4:ping1:t2:aa1:y1:qe"); len(got) != 1 || !strings.Contains(got[0], "1:y1:r") {
				t.Errorf("after %s: a ping is answered by %q", name, got)
			}
		}
		if s := n.Stats(); s.Peers != 0 {
			t.Errorf("%d peers are kept, want none: nobody had a token", s.Peers)
		}
	})
}
