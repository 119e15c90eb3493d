package shmconn

import (
	"strings"
	"testing"
)

func TestSameUser(t *testing.T) {
	for _, c := range []struct {
		name     string
		peer     uint32
		uid      int
		allKnown bool
		says     string
	}{
		{"the same", 1000, 1000, true, ""},
		{"root", 0, 1000, true, ""},
		{"root for root", 0, 0, true, ""},
		{"another", 1001, 1000, true, "uid 1001; only uid 1000 and root may"},
		{"not root for root", 1000, 0, true, "uid 1000"},
		{"nobody, where there is such a user", 65534, 65534, true, ""},
		{"nobody for another", 65534, 1000, true, "uid 65534; only"},
		{"of another namespace", 65534, 1000, false, "another user namespace"},
		{"of another namespace for nobody", 65534, 65534, false, "another user namespace"},
		{"the same in a namespace", 1000, 1000, false, ""},
	} {
		err := sameUser(PeerCred{UID: c.peer}, c.uid, c.allKnown)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
	}
}
