//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"shoal/piece"
)

// The floor is the least that a delivery over one connection can cost on this computer: receive, hash every
// 16 KiB (SHA-256), write. There is no protocol. The lab runs itself as its two sides.

const (
	floorPort    = 7
	floorStreams = 2
)

// floorSend gives a file to whoever connects: a part of it that the other side asks for by two numbers.
func floorSend(ctx context.Context, path string) error {
	ln, err := net.Listen("tcp4", fmt.Sprintf(":%d", floorPort))
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		nc, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		wg.Go(func() {
			defer nc.Close()
			stop := context.AfterFunc(ctx, func() { nc.Close() })
			defer stop()
			if err := floorGive(nc, path); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		})
	}
}

func floorGive(nc net.Conn, path string) error {
	var ask [16]byte
	if _, err := io.ReadFull(nc, ask[:]); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(int64(binary.BigEndian.Uint64(ask[:])), io.SeekStart); err != nil {
		return err
	}
	_, err = io.CopyN(nc, f, int64(binary.BigEndian.Uint64(ask[8:]))) // which is sendfile
	return err
}

// floorReceive fetches n bytes into a file, hashing them on the way.
func floorReceive(ctx context.Context, from, path string, n int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	part := (n/floorStreams + piece.BlockSize - 1) / piece.BlockSize * piece.BlockSize
	for at := int64(0); at < n; at += part {
		g.Go(func() error { return floorTake(ctx, from, f, at, min(part, n-at)) })
	}
	return errors.Join(g.Wait(), f.Close())
}

func floorTake(ctx context.Context, from string, f *os.File, at, n int64) error {
	nc, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp4", net.JoinHostPort(from, strconv.Itoa(floorPort)))
	if err != nil {
		return err
	}
	defer nc.Close()
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	ask := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(at)), uint64(n))
	if _, err := nc.Write(ask); err != nil {
		return err
	}
	b := make([]byte, 16*piece.BlockSize)
	leaves := make([]piece.Hash32, 0, 16)
	for end := at + n; at < end; {
		b := b[:min(int64(len(b)), end-at)]
		if _, err := io.ReadFull(nc, b); err != nil {
			return err
		}
		leaves = piece.AppendLeaves(leaves[:0], b)
		if _, err := f.WriteAt(b, at); err != nil {
			return err
		}
		at += int64(len(b))
	}
	return nil
}

func serveFloor(ctx context.Context, r *round) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if r.originProcess, err = r.start(ctx, r.net.origin, nil, self, "floor-send", r.content); err != nil {
		return err
	}
	return r.answers(ctx, floorPort)
}

func getFloor(ctx context.Context, r *round, m *machine) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	m.finishAtEnd = true
	return r.start(ctx, m.host, nil, self, "floor-receive", r.net.origin.addr.String(), r.file(m), fmt.Sprint(int64(r.scenario.Size)))
}
