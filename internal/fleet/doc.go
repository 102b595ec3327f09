// Package fleet is what a machine and the origin of its fleet say to each other: who the machine is, and how it is doing.
//
// # Enrolling
//
// A machine has a [Key] of its own, which never leaves it. With a token that the origin has given out, and that is over after a while, it tells the origin
// its public half (an [Enrollment]). From then on its reports count.
//
// # Reports
//
// A [Report] is JSON, posted to the origin's port at [ReportPath]. A machine that is enrolled signs it: the header Shoal-Key has the public key, Shoal-Signature
// the signature (Ed25519) of the line "shoal report", a newline, and the body; both in base64. Without them a report is anonymous: the origin shows
// it, and nothing depends on it. The origin answers with an [Answer]. An enrollment is signed in the same way, of the line "shoal enroll".
//
// Reports are numbered by the machine, and each says which was before it. So an origin notices when two machines have the same key, since one was made
// as a copy of the other: each of them goes on from where the other was not.
//
// Nothing here starts goroutines, or speaks to anybody: package updater sends, package rollout receives.
package fleet
