package message

import (
	"fmt"
	"strings"

	"github.com/pbft-go/pbft/crypto"
)

// AdminClient and MemberPrefix are client names under which only signed
// requests for the cluster itself are valid: anybody else would use up their
// numbers. This version serves none.
const (
	AdminClient  = "admin"
	MemberPrefix = "member/"
)

// Reserved reports whether a client name belongs to the cluster's own requests.
func Reserved(name string) bool {
	return name == AdminClient || strings.HasPrefix(name, MemberPrefix)
}

// CheckGroup is the part of a group's validity that goes beyond its shape. It
// is a pure function of the group, the same at admission, in relays and in
// batches, so that all replicas agree on every batch.
func CheckGroup(g *crypto.GroupView) error {
	if name := string(g.Client); Reserved(name) {
		return fmt.Errorf("client %q is reserved for signed requests of the cluster, which this version does not serve", name)
	}
	var r crypto.Request
	for cur := g.Cursor(); cur.Next(&r); {
		if r.Kind != crypto.KindOperation {
			return fmt.Errorf("request %d of client %q is of kind %d, served is only %d", r.Number, g.Client, r.Kind, crypto.KindOperation)
		}
	}
	return nil
}
