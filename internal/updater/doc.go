// Package updater keeps what a channel has installed on this machine: verified files become the version that runs, or do not.
//
// # Terms
//
// A version is staged when all of it lies on this disk, verified; switched to when the name that programs use leads to it; confirmed when it was found healthy. The
// last confirmed version is what a failed update goes back to. A version that was gone back from is bad here, and not tried again.
//
// # What lies where
//
//	TO/versions/1.5.0/…   a version, whole; one file lies in it under its own name
//	TO/current            a symlink to versions/1.5.0
//	TO/.shoal/            journal.json and its copy, lock, stage/ (what is being fetched), trash/ (what is being removed)
//
// In place, TO is one file, which is replaced; the rest lies beside it in .NAME.shoal. What the journal does not say is ours stays as it is: see own.go.
// So does what somebody has put into a version of ours, for as long as that is kept: see mend.go.
//
// # The life of an update
//
//	check → decide → policy hook → stage → lock → pre hook → switch → post hook → health → confirm
//	                                                    └──────────┴────────┴─→ back: switch, post hook
//
// [Updater.Once] walks it, [Updater.Run] does so again and again. Up to the lock nothing is changed that anybody uses, and whatever interrupts it, the next walk begins
// anew with what is staged. From the pre hook on each step is written to the journal before it is done (see journal.go), and done again after an interruption. The
// switch is one rename of a symlink or a file, after everything that it leads to has been synced. So at every moment, and after a power cut at any, the old or
// the new version is in place, whole.
//
// Who decides is [decide], a pure function of what is signed (a channel's version, a rollout's waves), what the machine knows (journal, id, groups) and what its
// owner wants (window, pin, policy). Each step is told to a [Reporter]; a [Lock] bounds how many machines switch at once.
//
// # Goroutines
//
// An Updater belongs to one goroutine. Hooks run in one each, which is waited for. The lock on the state directory keeps two processes apart.
//
// It speaks no peer protocol: content comes from a [Source].
package updater
