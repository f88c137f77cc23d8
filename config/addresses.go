package config

import (
	"fmt"
	"net/netip"
)

// CheckAddresses refuses replicas outside this machine. Replicas have no keys
// of their own yet: whoever knows the file can speak for all of them, so only
// loopback keeps strangers out. insecure says that the operator knows.
func (c *Config) CheckAddresses(insecure bool) error {
	if insecure {
		return nil
	}
	for i, n := range c.Nodes {
		if !isLoopback(n.Host) {
			return fmt.Errorf("%s[%d].host: is %q, allowed is loopback (localhost, 127.0.0.0/8, ::1): replicas have no keys yet, so anyone who reaches them could pose as one; --insecure allows it in a network that you trust", keyNodes, i, n.Host)
		}
	}
	return nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
