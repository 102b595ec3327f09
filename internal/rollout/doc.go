// Package rollout is the fleet's side of updates: how many machines may switch at once.
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
// It starts no goroutines, and never touches content.
package rollout
