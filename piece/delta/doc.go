// Package delta makes one version of a directory from another: Diff writes a patch that holds what is new, Apply reads it.
package delta
