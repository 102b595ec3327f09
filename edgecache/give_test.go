package edgecache

import "testing"

// A content that is taken back or removed while it is about to be given by another transfer is given by none: one that nobody ends would keep it from being fetched again.
func TestWhatIsTakenBackIsNotGivenAnew(t *testing.T) {
	t.Parallel()
	for name, take := range map[string]func(e *Edge, c *content){
		"taken back": func(e *Edge, c *content) {
			e.mu.Lock()
			defer e.mu.Unlock()
			delete(e.contents, c.key)
		},
		"removed meanwhile": func(_ *Edge, c *content) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.err = errDropped
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t, 100_000)
			e, stop := runEdge(t, o, Config{})
			until(t, "it is here", func() bool { return e.Status().Kept == 1 })
			stop() // so that nobody else does what this test does
			e.mu.Lock()
			c := e.contents[o.keys[0]]
			e.mu.Unlock()
			spec, err := e.seedSpec(c.known, nil)
			if err != nil {
				t.Fatal(err)
			}
			old, _, _ := c.state()
			old.Close()
			take(e, c)
			e.swap(c, old, spec)
			next, err := e.cfg.Node.Add(spec)
			if err != nil {
				t.Fatalf("%v; want it to be given by nobody", err)
			}
			next.Close()
		})
	}
}
