package swarm

// rateMemory is for how many seconds the best rate is remembered.
const rateMemory = 10

// rates remembers the best rate of each of the last rateMemory seconds.
type rates [rateMemory]sample

// sample is the best rate of a second.
type sample struct {
	second int64
	rate   float64
	full   bool // in some of it the line was full
}

// at is what is known of a second, which is this one.
func (r *rates) at(second int64) *sample {
	x := &r[second%rateMemory]
	if x.second != second {
		*x = sample{second: second}
	}
	return x
}

// best is the best rate of the seconds up to this one, and whether the line was full in any of them.
func (r *rates) best(second int64) (rate float64, full bool) {
	for _, x := range r {
		if second-x.second < rateMemory {
			rate, full = max(rate, x.rate), full || x.full
		}
	}
	return rate, full
}
