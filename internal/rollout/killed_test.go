//go:build unix

package rollout

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/jackc/pgx/v5"

	"shoal/internal/swarmtest"
)

// The test binary plays an origin in a process of its own, with the store that asOrigin names: a file, or postgres://….
const asOrigin = "SHOAL_TEST_ORIGIN"

func TestMain(m *testing.M) {
	at := os.Getenv(asOrigin)
	if at == "" {
		os.Exit(m.Run())
	}
	if err := playOrigin(at); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// What is modelled. A lease is counted in whole seconds of the store's clock: this one is over when the second in which it began is.
const (
	modelSlots = 2
	modelLease = time.Second / 2
)

func playOrigin(at string) (err error) {
	var store Store
	if strings.HasPrefix(at, "postgres://") {
		store, err = OpenPostgres(context.Background(), at)
	} else {
		store, err = OpenBolt(at)
	}
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://" + ln.Addr().String())
	return http.Serve(ln, &Handler{NewSlots(store, SlotsConfig{PerGroup: modelSlots, Lease: modelLease}), slog.New(slog.DiscardHandler)})
}

// originProcess is an origin that can be killed.
type originProcess struct {
	store string
	cmd   *exec.Cmd
	base  string
}

// start starts it, again and again while it cannot open its store in time.
func (o *originProcess) start(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		o.cmd = exec.Command(os.Args[0])
		o.cmd.Env = append(os.Environ(), asOrigin+"="+o.store, "GORACE=atexit_sleep_ms=0")
		o.cmd.Stderr = t.Output()
		out, err := o.cmd.StdoutPipe()
		if err == nil {
			err = o.cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if o.base = strings.TrimSpace(line); err == nil {
			return
		}
		if err := o.cmd.Wait(); time.Now().After(end) {
			t.Fatalf("an origin does not start: %v", err)
		}
	}
}

func (o *originProcess) kill() {
	o.cmd.Process.Kill()
	o.cmd.Wait()
}

// ask asks for a slot, or gives it back.
func (o *originProcess) ask(r request) (a answer) {
	path := AcquirePath
	if r.kind == givesBack {
		path = ReleasePath
	}
	req, err := http.NewRequest(http.MethodPost, o.base+path, strings.NewReader(fmt.Sprintf(`{"client_params":{"id":%q,"group":"default"}}`, r.id)))
	if err != nil {
		panic(err)
	}
	req.Header.Set("fleet-lock-protocol", "true")
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return answer{unknown: true}
	}
	resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		a.granted = r.kind == asks
		a.token, _ = strconv.ParseUint(resp.Header.Get(TokenHeader), 10, 64)
	case http.StatusConflict:
	case http.StatusInternalServerError:
		a.unknown = true
	default:
		panic(resp.Status)
	}
	return a
}

// world is origins that share a store, machines that ask them, and what was asked and answered.
type world struct {
	t        *testing.T
	origins  []*originProcess
	database *swarmtest.Postgres // nil: the store is a file

	reached chan struct{} // one for each thing that a machine begins in a round

	mu      sync.Mutex
	history []porcupine.Operation
	leases  int
	dead    int // machines that have died with their slot
}

// do has a machine do something, and notes it.
func (w *world) do(client int, o *originProcess, r request) answer {
	w.mu.Lock()
	w.leases++
	r.lease = w.leases
	w.mu.Unlock()
	called := time.Now().UnixNano()
	a := o.ask(r)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.history = append(w.history, porcupine.Operation{ClientId: client, Input: r, Output: a, Call: called, Return: time.Now().UnixNano()})
	return a
}

// round has machines ask and give back at random while something is killed, and starts that again.
func (w *world) round(names []string, kill, restart func()) {
	const each = 8
	moment := rand.N(each * len(names)) // any will do: that is the point of this test
	w.reached = make(chan struct{}, each*len(names))
	var g sync.WaitGroup
	for m := range names {
		g.Go(func() {
			for range each {
				kind := []requestKind{asks, asks, givesBack}[rand.N(3)]
				w.reached <- struct{}{}
				a := w.do(m, w.origins[rand.N(len(w.origins))], request{kind: kind, id: names[m]})
				if a.unknown {
					return
				}
				if a.granted && rand.N(8) == 0 { // the machine dies: nobody gives this slot back. Another one takes its place
					w.mu.Lock()
					w.dead++
					names[m] = fmt.Sprintf("%d-after-%d", m, w.dead)
					w.mu.Unlock()
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { g.Wait(); close(done) }()
	for range moment {
		select {
		case <-w.reached:
		case <-done: // fewer, since one was not answered
		}
	}
	time.Sleep(rand.N(time.Millisecond))
	kill()
	killed := time.Now().UnixNano()
	<-done
	restart()
	// What nobody was told has taken effect when a transaction after it has, or it never does.
	for end := time.Now().Add(time.Minute); w.do(len(names), w.origins[0], request{kind: givesBack, id: "nobody"}).unknown; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatal("an origin does not answer after all was started again")
		}
	}
	now := time.Now().UnixNano()
	w.history = slices.DeleteFunc(w.history, func(o porcupine.Operation) bool { return o.Output.(answer).unknown && o.Call > killed }) // there was nobody to do it
	for i := range w.history {
		if o := &w.history[i]; o.Output.(answer).unknown && o.Output.(answer).begun == 0 {
			o.Return, o.Output = now, answer{unknown: true, begun: killed}
		}
	}
}

// check wants a history that is one of slots where one thing happens after the other: so there were never more holders than slots.
func (w *world) check() {
	w.t.Helper()
	const inexact = int64(5 * time.Millisecond) // of clocks that are read here and there
	over := func(began int64) int64 { return time.Unix(0, began).Truncate(time.Second).Add(time.Second).UnixNano() }
	type ending struct {
		id               string
		earliest, latest int64
	}
	endings := map[ending][]int{} // leases of a machine that end at the same time: one operation, since each makes the search longer
	unknown := 0
	for _, o := range w.history {
		in, out := o.Input.(request), o.Output.(answer)
		if out.unknown {
			unknown++
		}
		if in.kind == asks && (out.granted || out.unknown) {
			e := ending{in.id, over(o.Call) - inexact, over(o.Return) + inexact}
			if out.unknown {
				e.latest = over(out.begun) + inexact
			}
			endings[e] = append(endings[e], in.lease)
		}
	}
	w.t.Logf("%d operations, %d of which nobody was told; %d machines died with their slot", len(w.history), unknown, w.dead)
	for e, leases := range endings {
		w.history = append(w.history, porcupine.Operation{ClientId: 1000 + leases[0], Input: request{kind: expires, id: e.id, leases: leases}, Output: answer{}, Call: e.earliest, Return: e.latest})
	}
	switch porcupine.CheckOperationsTimeout(slotsModel(modelSlots), w.history, time.Minute) {
	case porcupine.Illegal:
		w.t.Fatalf("%d operations that nobody could have seen in turn: %+v", len(w.history), w.history)
	case porcupine.Unknown:
		w.t.Fatal("the checker has found no answer in time")
	}
}

// run kills everything so many times.
func (w *world) run(kills int) {
	w.t.Cleanup(func() {
		for _, o := range w.origins {
			o.kill()
		}
	})
	for _, o := range w.origins {
		o.start(w.t)
	}
	names := []string{"0", "1", "2", "3"}
	for range kills {
		o := w.origins[rand.N(len(w.origins))]
		w.round(names, o.kill, func() { o.start(w.t) })
		if w.database != nil {
			w.round(names, w.database.Kill, w.database.Start)
		}
	}
	w.check()
}

// killings is how often origins are killed, and so often their database.
func killings() int {
	if swarmtest.Required("long") {
		return 100
	}
	return 2
}

// Machines ask, give back and die at random, while their origin is killed again and again.
func TestSlotsAreLinearizable(t *testing.T) {
	w := &world{t: t, origins: []*originProcess{{store: filepath.Join(t.TempDir(), "state.db")}}}
	w.run(killings())
}

// The same of two origins that share a database, which is killed as well.
func testSlotsAreLinearizable(t *testing.T, db *swarmtest.Postgres) {
	err := func() error { // what the tests before have left would not be in the model
		c, err := pgx.Connect(t.Context(), db.URL)
		if err != nil {
			return err
		}
		defer c.Close(t.Context())
		_, err = c.Exec(t.Context(), `drop table shoal_fleet, shoal_fleet_sequences`)
		return err
	}()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, database: db, origins: []*originProcess{{store: db.URL}, {store: db.URL}}}
	w.run(killings())
}
