package rollout

import (
	"fmt"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"
)

// request is an operation as porcupine has it: a machine asks or gives back, or leases of what it was given end.
type request struct {
	kind   requestKind
	id     string // of the machine
	lease  int    // asks: the number of the lease that begins
	leases []int  // expires: the numbers of those that end
}

type requestKind uint8

const (
	asks requestKind = iota
	givesBack
	expires
)

// answer is what the machine was told.
type answer struct {
	granted bool
	token   uint64
	unknown bool  // who should have told it was killed
	begun   int64 // unknown: when the store has read its clock at the latest, in nanoseconds
}

// model is the state of a group's slots, if one thing happens after the other.
type model struct {
	holders string // "id=token/lease," sorted
	last    uint64 // the token that was given last
}

// held is what a machine has.
type held struct {
	token uint64
	lease int
}

func (m model) parse() map[string]held {
	all := map[string]held{}
	for one := range strings.SplitSeq(m.holders, ",") {
		var h held
		if id, text, ok := strings.Cut(one, "="); ok {
			fmt.Sscanf(text, "%d/%d", &h.token, &h.lease)
			all[id] = h
		}
	}
	return all
}

func format(all map[string]held) string {
	var list []string
	for id, h := range all {
		list = append(list, fmt.Sprintf("%s=%d/%d", id, h.token, h.lease))
	}
	slices.Sort(list)
	return strings.Join(list, ",")
}

// slotsModel is how so many slots behave.
func slotsModel(slots int) porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{model{}} },
		Step: func(state, input, output any) []any {
			return step(slots, state.(model), input.(request), output.(answer))
		},
	}
	return m.ToModel()
}

// step are the states in which an operation may leave the slots: two, if it is not known whether it took effect; none, if nobody can have been told this.
func step(slots int, s model, in request, out answer) []any {
	holders := s.parse()
	next := s
	h, has := holders[in.id]
	switch in.kind {
	case expires:
		if has && slices.Contains(in.leases, h.lease) { // else it has begun anew, or was given back
			delete(holders, in.id)
		}
	case givesBack:
		delete(holders, in.id)
	case asks:
		if !has && len(holders) < slots {
			next.last++
			h, has = held{token: next.last}, true
		}
		if has {
			h.lease = in.lease
			holders[in.id] = h
		}
	}
	next.holders = format(holders)
	switch {
	case out.unknown:
		return []any{s, next}
	case in.kind == asks && (out.granted != has || has && out.token != h.token):
		return nil
	}
	return []any{next}
}
