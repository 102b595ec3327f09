package disk

// SameDevice says whether two directories lie on the same file system, without which no rename leads from one to the other. Here it cannot be told, and is true.
func SameDevice(a, b string) bool { return true }
