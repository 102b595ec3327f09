package delta

// copyBytes is how much of a copy is corrected at a time; no distance is seen that does not lie within.
const copyBytes = 64 << 10

// correctCopy corrects the distances in old, which is copied from p to new.
func (r *references) correctCopy(p place, old, new []byte) {
	for len(old) > 0 {
		n := min(len(old), copyBytes)
		r.correctWindow(p, old[:n], new[:n])
		old, new, p = old[n:], new[n:], p.advance(n)
	}
}

func (r *references) correctWindow(p place, old, new []byte) {
	last := len(old) - fieldBytes
	if last < 2 {
		return
	}
	for i := nextField(new, 2, last); i <= last; i = nextField(new, i, last) {
		was, is := old[i:i+fieldBytes], new[i:i+fieldBytes]
		target, ok := p.target(was, i)
		if !ok {
			i++
			continue
		}
		r.settle(r.correct(was, target, p.shift()), is)
		i += fieldBytes
	}
}

// correctBatch makes new bytes of the copies in a batch.
func (r *references) correctBatch(b *batch) {
	begin := 0
	for _, w := range b.copies {
		r.apply(w.place, b.data[w.from:w.to], w.from, b.differences[begin:w.differences])
		begin = w.differences
	}
}

// apply makes b new, which are old bytes from p, where differences begin to count at base.
func (r *references) apply(p place, b []byte, base int, differences []difference) {
	shift := p.shift()
	// differ changes the bytes before i that differ.
	differ := func(i int) {
		for len(differences) > 0 && differences[0].at()-base < i {
			b[differences[0].at()-base] += differences[0].by()
			differences = differences[1:]
		}
	}
	next := func() int {
		if len(differences) == 0 {
			return len(b)
		}
		return differences[0].at() - base
	}
	for i, last := 2, len(b)-fieldBytes; i <= last; {
		stop := min(last, next())
		if i <= stop {
			i = nextField(b, i, stop)
		}
		if i > last {
			break
		}
		if i > stop {
			differ(i)
			continue
		}
		field := b[i : i+fieldBytes]
		target, ok := p.target(field, i)
		if !ok {
			i++
			continue
		}
		g := r.correct(field, target, shift)
		i += fieldBytes
		differ(i)
		r.settle(g, field)
	}
	differ(len(b))
}
