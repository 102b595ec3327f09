package announce

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestPause(t *testing.T) {
	hungry := State{Left: 1, Hungry: true}
	half := Reply{Interval: 30 * time.Minute}
	strict := Reply{Interval: 30 * time.Minute, MinInterval: 15 * time.Minute}
	for _, c := range []struct {
		name         string
		rep          Reply
		peers, round int
		st           State
		want         time.Duration
	}{
		{"settled", half, 9, 0, State{}, 30 * time.Minute},
		{"fetching, has peers", half, 9, 0, State{Left: 1}, 30 * time.Minute},
		{"no interval", Reply{}, 9, 0, State{}, 30 * time.Minute},
		{"interval too short", Reply{Interval: time.Second}, 9, 0, State{}, 30 * time.Second},
		{"interval too long", Reply{Interval: 100 * time.Hour}, 9, 0, State{}, 2 * time.Hour},
		{"hungry, nobody there", strict, 0, 0, hungry, time.Second},
		{"hungry, still nobody there", strict, 0, 4, hungry, 15 * time.Second},
		{"hungry, alone", strict, 0, patience, hungry, 15 * time.Minute},
		{"hungry, alone, no min interval", half, 0, patience, hungry, 30 * time.Second},
		{"hungry, some there", Reply{Interval: 30 * time.Second, MinInterval: 5 * time.Second}, 3, 0, hungry, 5 * time.Second},
		{"hungry, some there, no min interval", half, 3, 0, hungry, usualMin},
		{"hungry, some there, strict", strict, 3, 0, hungry, 15 * time.Minute},
		{"hungry for long", half, 3, 99, hungry, 2 * time.Minute},
		{"hungry, min above interval", Reply{Interval: time.Minute, MinInterval: time.Hour}, 3, 0, hungry, time.Minute},
	} {
		if got := pause(c.rep, c.peers, c.round, c.st); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	for fails, want := range map[int]time.Duration{0: time.Second, 1: time.Second, 2: 2 * time.Second, 9: 256 * time.Second, 10: 5 * time.Minute, 99: 5 * time.Minute} {
		if got := backoff(fails); got != want {
			t.Errorf("backoff(%d) = %v, want %v", fails, got, want)
		}
	}
}

// play stands in for all trackers: it answers, and writes down what was asked when.
type play struct {
	answer func(host string, q url.Values) (string, error) // "" waits for the request's end
	start  time.Time

	mu   sync.Mutex
	said []string // "SECONDS event"
}

func (p *play) RoundTrip(r *http.Request) (*http.Response, error) {
	q := r.URL.Query()
	p.mu.Lock()
	p.said = append(p.said, strings.TrimSpace(fmt.Sprintf("%v %s", time.Since(p.start).Round(time.Second).Seconds(), q.Get("event"))))
	p.mu.Unlock()
	body, err := p.answer(r.URL.Host, q)
	if err != nil {
		return nil, err
	}
	if body == "" {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func (p *play) heard() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.said)
}

// staged runs test in a bubble with a fake clock, with a scheduler that asks p. stop ends it and
// waits for it.
func staged(t *testing.T, p *play, test func(s *Scheduler, stop func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p.start = time.Now()
		s := NewScheduler(Config{PeerID: [20]byte{1}, Port: 1000, HTTP: &http.Client{Transport: p}})
		ctx, cancel := context.WithCancel(t.Context())
		var done sync.WaitGroup
		done.Go(func() { s.Run(ctx) })
		stop := func() { cancel(); done.Wait() }
		test(s, stop)
		stop()
	})
}

// oneJob announces one hash to one tracker; what is told to it is in *st.
func oneJob(st *State) Job {
	return Job{InfoHashes: [][20]byte{{1}}, Tiers: [][]string{{"http://a/announce"}},
		State: func() State { return *st }, Found: func(string, []Peer) {}}
}

// twoHashes is the job of somebody who fetches a hybrid, of a crowd or not.
func twoHashes(crowd bool) Job {
	j := oneJob(&State{Left: 1})
	j.InfoHashes, j.Crowd = [][20]byte{{'a'}, {'b'}}, crowd
	return j
}

const (
	nobody       = "d8:completei0e10:incompletei1e8:intervali1800e12:min intervali300e5:peers0:e"
	oftenWelcome = "d8:completei1e10:incompletei1e8:intervali1800e12:min intervali5e5:peers6:\x0a\x00\x00\x01\x1a\xe1e"
	somewhere    = "d8:completei1e10:incompletei1e8:intervali1800e12:min intervali300e5:peers6:\x0a\x00\x00\x01\x1a\xe1e"
)

func always(body string) func(string, url.Values) (string, error) {
	return func(string, url.Values) (string, error) { return body, nil }
}

func equal(t *testing.T, p *play, want ...string) {
	t.Helper()
	if got := p.heard(); !slices.Equal(got, want) {
		t.Errorf("announces = %q, want %q", got, want)
	}
}

func TestHungryComesBackEarly(t *testing.T) {
	p := &play{answer: always(nobody)}
	staged(t, p, func(s *Scheduler, stop func()) {
		s.Add(oneJob(&State{Left: 1, Hungry: true}))
		time.Sleep(1000 * time.Second)
		stop()
		equal(t, p, "0 started", "1", "3", "7", "15", "30", "330", "630", "930", "1000 stopped")
	})
}

func TestIntervalIsObeyed(t *testing.T) {
	p := &play{answer: always(somewhere)}
	staged(t, p, func(s *Scheduler, stop func()) {
		e := s.Add(oneJob(&State{}))
		time.Sleep(2*time.Hour + time.Second)
		if st := e.Status(); len(st) != 1 || st[0].Seeders != 1 || st[0].Peers != 1 || st[0].Next.Sub(st[0].Last) != 30*time.Minute {
			t.Errorf("status = %+v", st)
		}
		stop()
		equal(t, p, "0 started", "1800", "3600", "5400", "7200", "7201 stopped")
	})
}

func TestWhoBecomesHungryComesBack(t *testing.T) {
	p := &play{answer: always(somewhere)}
	staged(t, p, func(s *Scheduler, stop func()) {
		var mu sync.Mutex
		st := State{Left: 1}
		j := oneJob(&st)
		j.State = func() State { mu.Lock(); defer mu.Unlock(); return st }
		s.Add(j)
		time.Sleep(602 * time.Second)
		mu.Lock()
		st.Hungry = true
		mu.Unlock()
		time.Sleep(100 * time.Second)
		stop()
		equal(t, p, "0 started", "605", "702 stopped")
	})
}

// Nobody has peers when he announces himself first. Who has got some does not come back for more.
func TestWhoHasBecomeFedDoesNotComeBack(t *testing.T) {
	p := &play{answer: always(oftenWelcome)}
	staged(t, p, func(s *Scheduler, stop func()) {
		var mu sync.Mutex
		st := State{Left: 1, Hungry: true}
		j := oneJob(&st)
		j.State = func() State { mu.Lock(); defer mu.Unlock(); return st }
		s.Add(j)
		feed := func(hungry bool, after time.Duration) {
			time.Sleep(after * time.Second)
			mu.Lock()
			st.Hungry = hungry
			mu.Unlock()
		}
		feed(false, 2)
		feed(true, 100) // they have left
		feed(false, 4)
		time.Sleep(2000 * time.Second)
		stop()
		equal(t, p, "0 started", "105", "1905", "2106 stopped")
	})
}

// One of a crowd announces its first info hash, and the others when that is over.
func TestOneOfACrowdAsksForLittle(t *testing.T) {
	for _, crowd := range []bool{false, true} {
		var mu sync.Mutex
		asked := map[string][]time.Duration{} // by info hash
		p := &play{}
		p.answer = func(_ string, q url.Values) (string, error) {
			mu.Lock()
			defer mu.Unlock()
			h := q.Get("info_hash")[:1]
			asked[h] = append(asked[h], time.Since(p.start))
			return oftenWelcome, nil
		}
		staged(t, p, func(s *Scheduler, stop func()) {
			j := twoHashes(crowd)
			s.Add(j)
			time.Sleep(10 * time.Minute)
			stop()
		})
		a, b := asked["a"], asked["b"]
		switch {
		case a[0] != 0 || a[len(a)-1] != 10*time.Minute || b[len(b)-1] != 10*time.Minute:
			t.Errorf("crowd %v: announces %v", crowd, asked)
		case !crowd && (len(a) != 2 || len(b) != 2 || b[0] != 0):
			t.Errorf("announces %v, want both hashes at once and in the end", asked)
		case crowd && (len(a) != 3 || len(b) != 2 || b[0] < crowdTime || b[0] > 2*crowdTime):
			t.Errorf("in a crowd: announces %v, want the second hash after %v to %v", asked, crowdTime, 2*crowdTime)
		}
	}
}

// A tracker that does not know the first hash may know another: that is asked for with the second try.
func TestOneOfACrowdIsRefused(t *testing.T) {
	p := &play{answer: func(_ string, q url.Values) (string, error) {
		if strings.HasPrefix(q.Get("info_hash"), "a") {
			return "d14:failure reason4:whate", nil
		}
		return somewhere, nil
	}}
	staged(t, p, func(s *Scheduler, stop func()) {
		j := twoHashes(true)
		s.Add(j)
		time.Sleep(10 * time.Minute)
		stop()
		equal(t, p, "0 started", "1 started", "1 started", "600 stopped", "600 stopped")
	})
}

// Who is done while his first announce is under way says so as soon as that is answered, and for all hashes.
func TestOneOfACrowdIsDoneAtOnce(t *testing.T) {
	p := &play{answer: func(string, url.Values) (string, error) {
		time.Sleep(3 * time.Second)
		return somewhere, nil
	}}
	staged(t, p, func(s *Scheduler, stop func()) {
		j := twoHashes(true)
		e := s.Add(j)
		time.Sleep(time.Second)
		e.Completed()
		time.Sleep(10 * time.Minute)
		stop()
		equal(t, p, "0 started", "3 completed", "3 completed", "601 stopped", "601 stopped")
	})
}

func TestFailuresBackOff(t *testing.T) {
	p := &play{answer: func(string, url.Values) (string, error) { return "", errors.New("refused") }}
	staged(t, p, func(s *Scheduler, stop func()) {
		e := s.Add(oneJob(&State{Left: 1, Hungry: true}))
		time.Sleep(1200 * time.Second)
		if st := e.Status()[0]; st.Err != "refused" {
			t.Errorf("status = %+v", st)
		}
		stop()
		equal(t, p, "0 started", "1 started", "3 started", "7 started", "15 started", "31 started", "63 started", "127 started", "255 started",
			"511 started", "811 started", "1111 started") // and nothing to stop
	})
}

func TestRefusalSaysWhenToComeAgain(t *testing.T) {
	for body, want := range map[string]string{
		"d14:failure reason4:full8:retry ini10ee":       "600 started",
		"d14:failure reason4:full8:retry in2:10e":       "600 started",
		"d14:failure reason4:full8:retry in5:nevere":    "86400 started",
		"d14:failure reason4:full8:retry ini-5ee":       "1 started",
		"d14:failure reason4:full8:retry in4:soone":     "1 started",
		"<html>not a tracker</html>":                    "1 started",
		"d14:failure reason4:full8:retry ini99999999ee": "86400 started",
	} {
		p := &play{answer: always(body)}
		staged(t, p, func(s *Scheduler, stop func()) {
			s.Add(oneJob(&State{}))
			time.Sleep(25 * time.Hour)
			stop()
			if got := p.heard()[1]; got != want {
				t.Errorf("after %q the second announce is %q, want %q", body, got, want)
			}
		})
	}
}

func TestKickKeepsTheMinInterval(t *testing.T) {
	p := &play{answer: always(somewhere)}
	staged(t, p, func(s *Scheduler, stop func()) {
		e := s.Add(oneJob(&State{Left: 1}))
		for range 10 {
			time.Sleep(50 * time.Second)
			e.Kick()
		}
		time.Sleep(time.Second)
		stop()
		equal(t, p, "0 started", "300", "501 stopped")
	})
}

func TestCompletedWhileStartingIsSaid(t *testing.T) {
	p := &play{}
	p.answer = func(string, url.Values) (string, error) { time.Sleep(3 * time.Second); return somewhere, nil }
	staged(t, p, func(s *Scheduler, stop func()) {
		e := s.Add(oneJob(&State{}))
		time.Sleep(time.Second)
		e.Completed()
		e.Kick()
		time.Sleep(100 * time.Second)
		stop()
		equal(t, p, "0 started", "3 completed", "101 stopped")
	})
}

func TestPartialSeedSaysSoEachTime(t *testing.T) {
	p := &play{answer: always(somewhere)}
	staged(t, p, func(s *Scheduler, stop func()) {
		e := s.Add(oneJob(&State{Left: 5, Paused: true}))
		time.Sleep(time.Hour + time.Second)
		e.Close()
		e.Close()
		time.Sleep(time.Hour)
		stop()
		equal(t, p, "0 paused", "1800 paused", "3600 paused", "3601 stopped")
	})
}

func TestStoppedIsSaidHoweverItEnds(t *testing.T) {
	slow := func(string, url.Values) (string, error) { time.Sleep(time.Second); return somewhere, nil }
	for _, c := range []struct {
		name string
		end  func(e *Entry, stop func())
		want []string
	}{
		{"Close, the end while that is said", func(e *Entry, stop func()) {
			time.Sleep(5 * time.Second)
			e.Close()
			time.Sleep(500 * time.Millisecond)
			stop()
		}, []string{"0 started", "5 stopped"}},
		{"the end while the first announce is under way", func(e *Entry, stop func()) { time.Sleep(time.Second / 2); stop() },
			[]string{"0 started", "1 stopped"}},
		{"Close, then at once the end", func(e *Entry, stop func()) { time.Sleep(5 * time.Second); e.Close(); stop() },
			[]string{"0 started", "5 stopped"}},
		{"closed for long", func(e *Entry, stop func()) { time.Sleep(5 * time.Second); e.Close(); time.Sleep(time.Hour); stop() },
			[]string{"0 started", "5 stopped"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &play{answer: slow}
			staged(t, p, func(s *Scheduler, stop func()) {
				e := s.Add(oneJob(&State{}))
				c.end(e, stop)
				equal(t, p, c.want...)
			})
		})
	}
	t.Run("closed before anything was said", func(t *testing.T) {
		p := &play{answer: slow}
		synctest.Test(t, func(t *testing.T) {
			s := NewScheduler(Config{HTTP: &http.Client{Transport: p}})
			e := s.Add(oneJob(&State{}))
			e.Close()
			ctx, cancel := context.WithCancel(t.Context())
			var done sync.WaitGroup
			done.Go(func() { s.Run(ctx) })
			time.Sleep(time.Minute)
			cancel()
			done.Wait()
			equal(t, p)
		})
	})
}

func TestFarewellIsShort(t *testing.T) {
	p := &play{answer: func(_ string, q url.Values) (string, error) {
		if q.Get("event") == "stopped" {
			return "", nil // hangs
		}
		return somewhere, nil
	}}
	staged(t, p, func(s *Scheduler, stop func()) {
		for range 500 {
			s.Add(oneJob(&State{}))
		}
		time.Sleep(time.Minute)
		from := time.Now()
		stop()
		if took := time.Since(from); took > stopTime {
			t.Errorf("the farewell took %v", took)
		}
	})
}

// A tracker that hangs holds neither all workers nor, once that is known, more than one.
func TestDeadTrackerDelaysNobodyElse(t *testing.T) {
	asked := map[string]int{}
	var mu sync.Mutex
	p := &play{}
	p.answer = func(host string, _ url.Values) (string, error) {
		mu.Lock()
		asked[host]++
		mu.Unlock()
		if host == "dead" {
			return "", nil
		}
		return somewhere, nil
	}
	staged(t, p, func(s *Scheduler, stop func()) {
		add := func(urls ...string) *Entry {
			j := oneJob(&State{})
			j.Tiers = [][]string{urls}
			return s.Add(j)
		}
		var dead []*Entry
		for i := range 3000 {
			dead = append(dead, add(fmt.Sprintf("http://dead/%d/announce", i)))
		}
		good := add("http://good/announce")
		time.Sleep(time.Second)
		if st := good.Status()[0]; st.Last.IsZero() || st.Err != "" {
			t.Errorf("a second later the good tracker has not been asked: %+v", st)
		}
		time.Sleep(time.Hour)
		mu.Lock()
		if asked["dead"] > 40 || asked["dead"] < 10 {
			t.Errorf("the dead tracker was asked %d times in an hour, want about 20", asked["dead"])
		}
		mu.Unlock()
		for _, e := range dead {
			if st := e.Status()[0]; st.Err == "" {
				t.Errorf("a torrent on the dead tracker has no error: %+v", st)
				break
			}
		}
		stop()
	})
}

func TestHostComesBack(t *testing.T) {
	up := false
	var mu sync.Mutex
	p := &play{}
	p.answer = func(string, url.Values) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if !up {
			return "", errors.New("refused")
		}
		return somewhere, nil
	}
	staged(t, p, func(s *Scheduler, stop func()) {
		var all []*Entry
		for range 1000 {
			all = append(all, s.Add(oneJob(&State{Left: 1, Hungry: true})))
		}
		time.Sleep(100 * time.Second)
		mu.Lock()
		up = true
		mu.Unlock()
		time.Sleep(30 * time.Second) // 127 s is the next try
		for i, e := range all {
			if st := e.Status()[0]; st.Err != "" || st.Last.IsZero() {
				t.Errorf("torrent %d is not announced again: %+v", i, st)
				break
			}
		}
		stop()
	})
}

func TestTrackerIDIsEchoed(t *testing.T) {
	var ids []string
	p := &play{}
	p.answer = func(_ string, q url.Values) (string, error) {
		ids = append(ids, q.Get("trackerid"))
		return "d8:intervali60e5:peers0:10:tracker id4:a&=be", nil
	}
	staged(t, p, func(s *Scheduler, stop func()) {
		s.Add(oneJob(&State{}))
		time.Sleep(61 * time.Second)
		stop()
		if want := []string{"", "a&=b", "a&=b"}; !slices.Equal(ids, want) {
			t.Errorf("tracker ids = %q, want %q", ids, want)
		}
	})
}

// opentracker names the asker to itself; that is nobody.
func TestAloneIsAlone(t *testing.T) {
	p := &play{answer: always(strings.Replace(nobody, "5:peers0:", "5:peers6:\x7f\x00\x00\x01\x03\xe8", 1))}
	staged(t, p, func(s *Scheduler, stop func()) {
		j := oneJob(&State{Left: 1, Hungry: true})
		j.Found = func(string, []Peer) { t.Errorf("found itself") }
		s.Add(j)
		time.Sleep(4 * time.Second)
		stop()
		equal(t, p, "0 started", "1", "3", "4 stopped")
	})
}
