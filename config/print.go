package config

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// YAML is the configuration as it takes effect, every default and derived
// value spelled out. Reading it again gives the same configuration.
func (c *Config) YAML() ([]byte, error) {
	root := &yaml.Node{Kind: yaml.MappingNode}
	digest := c.Digest()
	root.HeadComment = fmt.Sprintf("replicas: %d, of which %d may be faulty\nconfig_digest: %s", len(c.Nodes), c.F(), digest.Hex())
	add(root, keyClusterID, str(hex.EncodeToString(c.ClusterID[:])))
	add(root, keyNodes, c.nodeList())
	if len(c.Clients) > 0 {
		add(root, keyClients, c.clientList())
	}
	hosts := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, h := range c.AllowReplyHosts {
		hosts.Content = append(hosts.Content, str(h))
	}
	add(root, keyReplyHosts, hosts)
	misc := &yaml.Node{Kind: yaml.MappingNode}
	for _, k := range keys {
		v := plain(k.kind.text(c))
		switch k.kind.(type) {
		case name, path:
			v = str(v.Value)
		}
		v.LineComment = k.note
		if rest, ok := strings.CutPrefix(k.name, keyMisc+"."); ok {
			add(misc, rest, v)
		} else {
			add(root, k.name, v)
		}
	}
	add(root, keyMisc, misc)
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return out.Bytes(), enc.Close()
}

func (c *Config) nodeList() *yaml.Node {
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, n := range c.Nodes {
		row := endpoint(n.Host, n.Port)
		add(row, "peer_port", plain(strconv.Itoa(n.PeerPort)))
		list.Content = append(list.Content, row)
	}
	return list
}

func (c *Config) clientList() *yaml.Node {
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, e := range c.Clients {
		list.Content = append(list.Content, endpoint(e.Host, e.Port))
	}
	return list
}

func endpoint(host string, port int) *yaml.Node {
	row := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
	add(row, "host", str(host))
	add(row, "port", plain(strconv.Itoa(port)))
	return row
}

// plain is a value as it stands, str one that is quoted where it would look
// like something else.
func plain(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: s} }
func str(s string) *yaml.Node   { return &yaml.Node{Kind: yaml.ScalarNode, Value: s, Tag: "!!str"} }

func add(m *yaml.Node, name string, v *yaml.Node) {
	m.Content = append(m.Content, str(name), v)
}
