package disk

// BootID names the current run of the operating system: what was written but not synced before another boot may be lost. "" means unknown,
// and two unknown boots must be taken for different ones: use SameBoot.
func BootID() string { return bootID() }

// SameBoot says whether a recorded BootID is certainly that of the current boot.
func SameBoot(recorded string) bool { return recorded != "" && recorded == bootID() }
