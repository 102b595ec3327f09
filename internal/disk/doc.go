// Package disk keeps state on a local disk without surprises: files that are replaced as a whole or not at all ([WriteFile]), a state directory
// that one process owns at a time ([LockDir]), a directory that goes with its process ([TempDir]), room that is asked for before it is needed ([Free], [Reserve], [IsNoSpace]), copies that share
// blocks where the file system can ([Clone]), and two ways to notice that trust has ended: the machine was restarted since ([BootID]), or a file
// is no longer the one that was hashed ([Stamp]).
//
// It knows files and directories, not what is in them. Content below a stranger's names is opened through os.Root by the rooms above; paths given
// here are the operator's or our own. It starts no goroutine and keeps no state of its own.
//
// Linux is where it is complete. Elsewhere Reserve only compares with the free space, Clone copies, and BootID may be unknown; each says so.
package disk
