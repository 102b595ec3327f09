// Package agenda is a queue of things to do by when they are due, as those have that repeat something for thousands of torrents: announcing to
// trackers, looking for peers in the DHT. It knows no clock, starts nothing, and is not safe for concurrent use.
package agenda

import (
	"container/heap"
	"time"
)

// Entry is a thing's place in a Queue; embed it. The zero value is in none.
type Entry struct {
	due time.Time
	at  int // 1 + its index in the heap; 0: in none
}

func (e *Entry) entry() *Entry { return e }

// Queued reports whether it is in a queue.
func (e *Entry) Queued() bool { return e.at > 0 }

// Queue has the thing that is due first at its head. The zero value is empty.
type Queue[T interface{ entry() *Entry }] struct{ h entries[T] }

// Put queues x, or moves it if it is queued, and reports whether it is now due before all others.
func (q *Queue[T]) Put(x T, due time.Time) bool {
	e := x.entry()
	e.due = due
	if e.Queued() {
		heap.Fix(&q.h, e.at-1)
	} else {
		heap.Push(&q.h, x)
	}
	return e.at == 1
}

// Sooner moves x, if it is queued and due later, and reports whether it was moved and is now due before all others.
func (q *Queue[T]) Sooner(x T, due time.Time) bool {
	return x.entry().Queued() && due.Before(x.entry().due) && q.Put(x, due)
}

// Remove takes x out, if it is in.
func (q *Queue[T]) Remove(x T) {
	if e := x.entry(); e.Queued() {
		heap.Remove(&q.h, e.at-1)
	}
}

// Next takes out a thing that is due, or says how long until one is: an hour if there is none.
func (q *Queue[T]) Next(now time.Time) (x T, wait time.Duration) {
	if len(q.h) == 0 {
		return x, time.Hour
	}
	if wait = q.h[0].entry().due.Sub(now); wait > 0 {
		return x, wait
	}
	return heap.Pop(&q.h).(T), 0
}

// entries is a heap by due time, for container/heap.
type entries[T interface{ entry() *Entry }] []T

func (h entries[T]) Len() int           { return len(h) }
func (h entries[T]) Less(i, j int) bool { return h[i].entry().due.Before(h[j].entry().due) }
func (h entries[T]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].entry().at, h[j].entry().at = i+1, j+1
}

func (h *entries[T]) Push(x any) {
	*h = append(*h, x.(T))
	x.(T).entry().at = len(*h)
}

func (h *entries[T]) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	var none T
	(*h)[last], *h = none, (*h)[:last]
	x.entry().at = 0
	return x
}
