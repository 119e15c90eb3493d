//go:build race

package host

// raceSlack is for what the race detector makes pools throw away.
const raceSlack = 4 << 20
