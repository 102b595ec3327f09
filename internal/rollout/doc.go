// Package rollout is the fleet's side of updates: what machines report, whether a rollout goes on, and how many machines may switch at once.
//
// A [Store] keeps all of it: a file of an origin's own ([OpenBolt]), or a database that several share ([OpenPostgres]).
//
// # Reports
//
// A machine is enrolled with a token, and signs its reports from then on. [Reports] keeps a [Record] of each machine and app, and of each version a [Tally] of how it has gone, in one transaction.
// Reports of others are kept for a while, and nothing depends on them. Many reports are one transaction; who has said something new is answered when it is durable.
//
// # Gates
//
// [Reports.Steer] looks at the [Evidence] of each rollout, and halts it or has it go on as its policy says, which is a pure function. A machine comes to a wave of so many
// machines by asking for a slot: who is in is counted in the same transaction.
//
// # Slots
//
// A group has so many slots. A machine takes one before it switches, and gives it back when it is well or back again. A [Slots] keeps them in a bbolt file, so that
// an origin that was killed still knows its holders: each change is one transaction, durable before it is answered. A slot that was not given back
// is free again when its lease is over. Each new holder gets a larger fencing token: what a holder's hooks write to can refuse those of one that has lost its slot.
//
// The [Handler] speaks the FleetLock protocol (https://coreos.github.io/zincati/development/fleetlock/protocol/), so that others than Shoal can
// take slots: POST /v1/pre-reboot and /v1/steady-state.
//
// # Goroutines
//
// [Reports.Run] is one, which writes what [Reports.Take] hands it, until its context is done. Nothing else is started.
//
// It never touches content, and signs nothing itself.
package rollout
