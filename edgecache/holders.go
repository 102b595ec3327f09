package edgecache

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"
)

// HoldsPath is where an edge tells others how far it has a content: below it stands the content's key. With the query wantedQuery the other one has somebody
// who waits for it, and who is to keep it gets it at once; without, what the other one fetches ahead is nobody's demand.
const (
	HoldsPath   = "/api/v1/edge/holds/"
	wantedQuery = "wanted"
)

const (
	// askTime bounds a question to another edge.
	askTime = 2 * time.Second
	// orphanTime is how long a machine is asked to come again for a content of whose keepers none answers: edges find out within some seconds that another one is dead.
	orphanTime = 15 * time.Second
	// answerTime is how long an answer holds for who is only led elsewhere by it.
	answerTime = 2 * time.Second
	maxAnswers = 4096
)

// asker asks other edges how far they have a content. Its methods are safe for concurrent use.
type asker struct {
	client *http.Client

	mu      *sync.Mutex
	answers map[question]answer
}

type question struct {
	addr, key string
	wanted    bool // somebody waits for it
}

type answer struct {
	holding
	alive bool // there was one
	at    time.Time
}

func newAsker() asker {
	return asker{client: &http.Client{Timeout: askTime}, mu: new(sync.Mutex), answers: map[question]answer{}}
}

// ask asks members, all at once.
func (a *asker) ask(ctx context.Context, members []Member, key string, wanted bool) map[string]answer {
	var mu sync.Mutex
	all := map[string]answer{}
	var wg sync.WaitGroup
	for _, m := range members {
		wg.Go(func() {
			x := a.one(ctx, question{m.Addr, key, wanted})
			mu.Lock()
			defer mu.Unlock()
			all[m.Name] = x
		})
	}
	wg.Wait()
	return all
}

// lately is what members have answered a moment ago, and of those that were not asked then what they answer now.
func (a *asker) lately(ctx context.Context, members []Member, key string) map[string]answer {
	known := map[string]answer{}
	var open []Member
	now := time.Now()
	a.mu.Lock()
	for _, m := range members {
		if x, ok := a.answers[question{addr: m.Addr, key: key}]; ok && now.Sub(x.at) < answerTime {
			known[m.Name] = x
		} else {
			open = append(open, m)
		}
	}
	a.mu.Unlock()
	for name, x := range a.ask(ctx, open, key, false) {
		known[name] = x
	}
	return known
}

func (a *asker) one(ctx context.Context, q question) (x answer) {
	defer func() {
		if ctx.Err() != nil {
			return // it was not given the time
		}
		x.at = time.Now()
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.answers) >= maxAnswers {
			clear(a.answers)
		}
		a.answers[q] = x
	}()
	url := "http://" + q.addr + HoldsPath + q.key
	if q.wanted {
		url += "?" + wantedQuery
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return x
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return x
	}
	defer resp.Body.Close()
	var body struct {
		Holds holding `json:"holds"`
	}
	if resp.StatusCode != http.StatusOK || json.NewDecoder(http.MaxBytesReader(nil, resp.Body, 1<<10)).Decode(&body) != nil {
		return x
	}
	x.holding, x.alive = body.Holds, true
	return x
}

// ask asks the others how far they have a content, for which somebody waits or not.
func (r *ring) ask(ctx context.Context, key string, wanted bool) map[string]holding {
	have := map[string]holding{}
	for name, x := range r.asker.ask(ctx, r.peers(""), key, wanted) {
		have[name] = x.holding
	}
	return have
}

// keeper is the edge that others are led to for a content: an owner that has it, else one that says that it will, and none that does not answer, even if nobody has found
// out yet that it is dead. silent says that there is such a one.
func (r *ring) keeper(ctx context.Context, key string) (keeper Member, ok, silent bool) {
	var others []Member
	for _, m := range r.of(key) {
		if !r.isSelf(m) {
			others = append(others, m)
		}
	}
	answers := r.asker.lately(ctx, others, key)
	for _, wanted := range []holding{holdsWhole, holdsFetching, holdsSoon, holdsFull} {
		for _, m := range others {
			if x := answers[m.Name]; x.alive && x.holding == wanted {
				r.found(key)
				return m, true, false
			}
		}
	}
	return Member{}, false, slices.ContainsFunc(others, func(m Member) bool { return !answers[m.Name].alive })
}

// orphaned says whether a content of whose keepers none answers will be some other edge's in a moment: the cluster is about to find out that they are dead, and then one
// edge gets the content for all, where many machines would get it from the origin meanwhile.
func (r *ring) orphaned(key string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	since, ok := r.orphans[key]
	if !ok {
		if len(r.orphans) >= maxAnswers {
			clear(r.orphans)
		}
		since, r.orphans[key] = now, now
	}
	return now.Sub(since) < orphanTime
}

// found notes that a content has a keeper.
func (r *ring) found(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.orphans, key)
}
