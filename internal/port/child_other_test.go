//go:build !linux

package port

func runAsChild() bool { return false }
