package delta

import "context"

// A filePlan is what must be known of a new file before it is made.
type filePlan struct {
	length int64
	begin  track
}

// decoder is the first stage of Apply: it reads the sections of a patch one after the other.
type decoder struct {
	r   *byteReader
	old source
	*stages

	total int64 // bytes that sections to come are to make
	left  int64 // bytes that the present section still makes
	fresh int64 // new ones among these
	codec *codec
	ops   *ansDecoder
	code  []byte // of ops
	text  newBytes

	batch *batch
}

// run decodes files. Behind what it needs for them it reads nothing.
func (d *decoder) run(ctx context.Context, files []filePlan) error {
	defer d.text.wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, f := range files {
		d.total += f.length
	}
	for _, f := range files {
		if err := d.file(ctx, f); err != nil {
			return err
		}
	}
	return d.end()
}

func (d *decoder) file(ctx context.Context, f filePlan) (err error) {
	if d.batch, err = d.empty(ctx); err != nil {
		return err
	}
	t := f.begin
	for t.made < f.length {
		if d.left == 0 {
			if err := d.section(ctx); err != nil {
				return err
			}
		}
		if err := d.op(ctx, f.length-t.made, &t); err != nil {
			return err
		}
	}
	d.batch.whole = true
	d.decoded <- d.batch
	return nil
}

// section reads a section.
func (d *decoder) section(ctx context.Context) error {
	if err := d.end(); err != nil {
		return err
	}
	var head [4]uint64
	for i := range head {
		var err error
		if head[i], err = d.r.uvarint(); err != nil {
			return err
		}
	}
	text, stored, fresh := head[2]>>1, head[2]&1 == 1, head[3]
	if head[0] == 0 || head[0] > uint64(d.total) || max(head[1], text, fresh) > maxCode || fresh > head[0] {
		return badf("a section of %d bytes, %d of them new, from %d and %d, where %d are left", head[0], fresh, head[1], text, d.total)
	}
	if err := d.r.fill(&d.code, int(head[1])); err != nil {
		return err
	}
	if d.codec == nil {
		d.codec = new(codec)
	}
	d.ops = newANSDecoder(d.code)
	if text > 0 || fresh > 0 {
		if err := d.text.section(ctx, d.r, int(text), textSection{stored: stored, n: int(fresh)}); err != nil {
			return err
		}
	}
	d.left, d.fresh = int64(head[0]), int64(fresh)
	d.total -= d.left
	return nil
}

// end checks that the section says no more than was made of it.
func (d *decoder) end() error {
	switch {
	case d.left > 0:
		return badf("%d bytes of a section are left", d.left)
	case d.fresh > 0:
		return badf("%d new bytes that nothing uses", d.fresh)
	}
	return nil
}

// op decodes what makes the next bytes of a file, of which left are missing, and goes on from t.
func (d *decoder) op(ctx context.Context, left int64, t *track) error {
	o, err := d.codec.decodeOp(d.ops, left, *t, d.old.end())
	if err != nil {
		return err
	}
	n := int64(o.copied) + int64(o.new)
	if n > d.left {
		return badf("%d bytes where the section has %d left", n, d.left)
	}
	if int64(o.new) > d.fresh {
		return badf("more new bytes than the section has")
	}
	if o.copied > 0 {
		if err := d.copy(ctx, o, t.made); err != nil {
			return err
		}
	}
	for left := o.new; left > 0; {
		b, err := d.room(ctx, 1, left)
		if err != nil {
			return err
		}
		if err := d.text.read(ctx, b); err != nil {
			return err
		}
		left -= len(b)
	}
	t.after(o)
	d.left -= n
	d.fresh -= int64(o.new)
	return nil
}

// room is where the next bytes go, least of them at least and most at most.
func (d *decoder) room(ctx context.Context, least, most int) (b []byte, err error) {
	if cap(d.batch.data)-len(d.batch.data) < least {
		d.decoded <- d.batch
		if d.batch, err = d.empty(ctx); err != nil {
			return nil, err
		}
	}
	at := len(d.batch.data)
	d.batch.data = d.batch.data[:min(at+most, cap(d.batch.data))]
	return d.batch.data[at:], nil
}

// copy makes room for the old bytes of o, and decodes where they differ. They go to offset in the new file.
func (d *decoder) copy(ctx context.Context, o op, offset int64) error {
	c := differing{codec: d.codec, ops: d.ops, end: o.copied}
	d.codec.row = 0
	if err := c.find(0); err != nil {
		return err
	}
	p := place{pos: o.pos, offset: offset}
	p.start, p.stop = d.old.bounds(o.pos)
	for done := 0; done < o.copied; {
		n := min(o.copied-done, copyBytes)
		if _, err := d.room(ctx, n, n); err != nil {
			return err
		}
		to := len(d.batch.data)
		w := window{from: to - n, to: to, place: p}
		for c.at < done+n {
			d.batch.differences = append(d.batch.differences, differs(w.from+c.at-done, c.by))
			if err := c.find(c.at + 1); err != nil {
				return err
			}
		}
		w.differences = len(d.batch.differences)
		d.batch.copies = append(d.batch.copies, w)
		done, p = done+n, p.advance(n)
	}
	return nil
}

// differing is where the bytes of a copy differ.
type differing struct {
	codec *codec
	ops   *ansDecoder
	end   int  // of the copy
	at    int  // of the next byte that differs, or end
	by    byte // how much
}

// find looks for the first byte that differs and is not before from.
func (c *differing) find(from int) error {
	c.at = c.end
	if from == c.end {
		return nil
	}
	run, by, ok := c.codec.decodeDifference(c.ops)
	if !ok {
		return nil
	}
	if run >= c.end-from {
		return badf("a difference behind the end of its copy")
	}
	c.at, c.by = from+run, by
	return nil
}
