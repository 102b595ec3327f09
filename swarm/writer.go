package swarm

import (
	"context"
	"net"
	"time"

	"shoal/internal/sock"
	"shoal/swarm/wire"
)

// maxGather is about how many bytes of blocks are read and go into one writev.
const maxGather = 256 << 10

// write writes the outbox until the connection ends.
func (c *conn) write(ctx context.Context) error {
	for {
		gather := int64(mostAhead)
		if c.upRate() > 0 {
			gather = 1 // block by block, each when its turn has come
		}
		control, blocks := c.out.take(gather)
		for len(control) < maxGather/4 {
			f := c.out.nextLazy()
			if f == nil {
				break
			}
			control = f(control)
		}
		if len(control) == 0 && len(blocks) == 0 {
			select {
			case <-c.out.notify:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		c.nc.SetWriteDeadline(time.Now().Add(writeTime))
		if len(control) > 0 {
			if _, err := c.nc.Write(control); err != nil {
				return err
			}
		}
		if len(blocks) > 0 {
			if err := c.writeBlocks(ctx, blocks); err != nil {
				return err
			}
		}
	}
}

// writeTime is how long a peer may take to accept what is written at once.
const writeTime = 2 * time.Minute

// writeBlocks writes blocks: long ones from the page cache to the socket, the others in one go.
func (c *conn) writeBlocks(ctx context.Context, blocks []upRequest) error {
	c.governor().writes(c, time.Now())
	var total, small int64
	var others []upRequest
	for _, r := range blocks {
		total += int64(r.length)
		sent, err := c.sendFile(r)
		if err != nil {
			return err
		}
		if sent {
			continue
		}
		others = append(others, r)
		if small += int64(r.length); small >= maxGather {
			if err := c.gather(ctx, others); err != nil {
				return err
			}
			others, small = others[:0], 0
		}
	}
	if len(others) > 0 {
		if err := c.gather(ctx, others); err != nil {
			return err
		}
	}
	c.s.do(func() { c.s.wrote(c, blocks, total) })
	return nil
}

// sendFile writes a block without reading it, if that is possible and worth it: half of what giving costs is copying.
func (c *conn) sendFile(r upRequest) (sent bool, err error) {
	files, ok := c.s.store.(lender)
	if !ok || r.length < longBlock || c.upRate() > 0 {
		return false, nil
	}
	n := int64(r.length)
	for seg := range c.s.torrent.Segments(int64(r.piece)*c.s.torrent.PieceLength+int64(r.begin), n) {
		if seg.Length != n {
			return false, nil
		}
		h, err := files.lend(seg.File)
		if err != nil {
			c.s.do(func() { c.s.cannotRead(err) })
			return false, err
		}
		defer files.giveBack(h)
		return sock.SendFile(c.nc, wire.AppendPieceHeader(make([]byte, 0, 13), r.piece, r.begin, int(n)), h.f, seg.FileOffset, n)
	}
	return false, nil
}

// gather reads blocks from the store and writes them, with their headers.
func (c *conn) gather(ctx context.Context, blocks []upRequest) error {
	var bufs net.Buffers
	for _, r := range blocks {
		b, release := wire.Block(int(r.length))
		defer release()
		begin := time.Now()
		if err := c.s.store.ReadAt(b, int64(r.piece)*c.s.torrent.PieceLength+int64(r.begin)); err != nil {
			c.s.do(func() { c.s.cannotRead(err) })
			return err
		}
		c.stood(IdleDisk, time.Since(begin))
		bufs = append(bufs, wire.AppendPieceHeader(make([]byte, 0, 13), r.piece, r.begin, len(b)), b)
	}
	if c.upRate() > 0 {
		return c.writePaced(ctx, bufs)
	}
	return writeAll(c.nc, bufs)
}

// writePaced writes headers and blocks, in turn, in slices that each wait for their time.
func (c *conn) writePaced(ctx context.Context, bufs net.Buffers) error {
	limit, link := c.up(), &c.governor().pace
	for i := 0; i < len(bufs); i += 2 {
		part, block := net.Buffers{bufs[i]}, bufs[i+1]
		for len(block) > 0 {
			n := link.slice(limit.slice(int64(len(block))))
			if err := c.waits(ctx, limit, n, IdleLimit); err != nil {
				return err
			}
			if err := c.waits(ctx, link, n, IdleGovernor); err != nil {
				return err
			}
			c.nc.SetWriteDeadline(time.Now().Add(writeTime))
			part = append(part, block[:n])
			if err := writeAll(c.nc, part); err != nil {
				return err
			}
			part, block = nil, block[n:]
		}
	}
	return nil
}
