//go:build linux

package main

import (
	"context"
	"fmt"
	"strconv"
)

// role runs the lab as one of the programs that it starts itself; false if the arguments name none.
func role(ctx context.Context, args []string) (bool, error) {
	switch {
	case len(args) == 2 && args[0] == "poisoner":
		return true, poison(ctx, args[1])
	case len(args) == 2 && args[0] == "floor-send":
		return true, floorSend(ctx, args[1])
	case len(args) == 4 && args[0] == "floor-receive":
		n, err := strconv.ParseInt(args[3], 10, 64)
		if err != nil || n <= 0 {
			return true, fmt.Errorf("%q is no size", args[3])
		}
		return true, floorReceive(ctx, args[1], args[2], n)
	}
	return false, nil
}
