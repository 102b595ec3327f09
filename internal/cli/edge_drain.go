package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"shoal/edgecache"
	"shoal/internal/deliver"
)

// errOnlyHere says that an edge that is drained has something that no other one has.
var errOnlyHere = errors.New("no other edge has it")

// errAlone says that there is no edge to take over from one that is to be drained.
var errAlone = errors.New("no other edge")

// pinnedOnly is the error about what is pinned at an edge that is to go; nil: nothing is.
func pinnedOnly(l *edgecache.Lack) error {
	if l == nil {
		return nil
	}
	return &deliver.Error{Kind: errOnlyHere, Hint: "pin it at another edge (shoal edge pin, there) and drain again, or let it go: it comes from its origin then",
		Message: fmt.Sprintf("a pin is its own edge's: no other edge has %s, %s", clean(strings.Join(l.Names, ", ")), formatBytes(l.Bytes))}
}

// untaken is the error about what has no room at the edges that are to take it over.
func untaken(l *edgecache.Lack) error {
	return &deliver.Error{Kind: errNoRoom, Hint: "give them a larger --quota, or take pins out there, and drain again; or stop this one as it is: its origin has that too",
		Message: fmt.Sprintf("the edges that are to take over have no room for %s", amount(l))}
}

const (
	// drainLooks is how often in a row nothing but what has no room is to be left for drain to give up: others may be about to make room.
	drainLooks = 5
	// drainWord is how often drain tells what is left.
	drainWord = 30 * time.Second
)

// drain waits until the others have taken over.
func (e *env) drain(ctx context.Context) error {
	if _, err := e.edgeChange(ctx, "drain", "", 0); err != nil {
		return err
	}
	e.report.Event("drain", struct{}{})
	e.report.Notice("the other edges take over what this one keeps; Ctrl-C does not stop that")
	full, told := 0, time.Now()
	for {
		client, url, err := e.controlClient()
		if err != nil {
			return err
		}
		st, err := askStatusOf(ctx, client, url)
		if err != nil {
			return err
		}
		var ring edgecache.RingStatus
		if st.Edge != nil && st.Edge.Ring != nil {
			ring = *st.Edge.Ring
		}
		if ring.Drained {
			only := ring.OnlyHere
			e.report.Result("drained", ring, func(w io.Writer) {
				if only == nil {
					fmt.Fprintln(w, "drained: it can be stopped")
				} else {
					fmt.Fprintln(w, "drained: the others have all that is followed")
				}
			})
			return pinnedOnly(only)
		}
		if full++; ring.Full == nil || ring.Full.Contents < ring.Left.Contents {
			full = 0 // something may still be taken over
		}
		if full >= drainLooks {
			return untaken(ring.Full)
		}
		if ring.Left != nil && time.Since(told) > drainWord {
			e.report.Notice("not yet taken over: %s", amount(ring.Left))
			told = time.Now()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}
