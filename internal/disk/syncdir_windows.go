package disk

// SyncDir does nothing on Windows: NTFS journals names by itself and a directory cannot be flushed.
func SyncDir(string) error { return nil }
