// Package explore runs concurrent code in every order that makes a difference.
//
// A test under the race detector, or under load, sees some orders of some
// machine. This package sees all of them: it runs the code's threads one step at a
// time, under its own control, and tries again until no order is left that could
// end otherwise. So it finds the wake-up that gets lost once a month, and when it
// finds nothing there is nothing to find, for the scenario at hand.
//
//	result := explore.Run(explore.Options{}, func(s *explore.Schedule) {
//		x := newThing()
//		s.Go("writer", func() { x.put(1) })
//		s.Go("reader", func() { got = x.take() })
//		s.AtEnd(func() error { … })
//	})
//
// # How code gets under control
//
// The code has to tell when it touches what other threads touch. Packages
// explore/sync and explore/atomic are stand-ins for the standard ones that do so.
// Package explore/overlay compiles packages against the stand-ins without a change to
// their sources, and rewrites their channel operations. Outside an exploration
// the stand-ins behave like the originals.
//
// A step is one such access together with all that follows up to the next. Memory is
// sequentially consistent, as Go's atomics are; data that is touched without
// synchronisation belongs to the race detector.
//
// # How it finds all orders
//
// Two orders that differ only in steps that don't depend on each other end alike:
// steps on different objects, or two reads. Dynamic partial order reduction (Flanagan and
// Godefroid, 2005) with sleep sets (Godefroid, 1996) runs one order of each such class:
// after each run it looks for pairs of dependent steps that could have come the other
// way round, and makes them do so in a later run.
//
// A run must end by itself, and must do the same each time in the same order: no
// time, no randomness but that of [Choose], no real blocking.
package explore
