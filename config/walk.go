package config

import (
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// field is a key that a mapping may hold.
type field struct {
	name string
	read func(path string, v *yaml.Node)
}

// root reads the file's only mapping.
func (p *parser) root(n *yaml.Node) {
	var top, misc []field
	for _, k := range keys {
		if rest, ok := strings.CutPrefix(k.name, keyMisc+"."); ok {
			misc = append(misc, field{rest, p.value(k)})
		} else {
			top = append(top, field{k.name, p.value(k)})
		}
	}
	top = append(top,
		field{keyNodes, p.nodes},
		field{keyClients, p.clients},
		field{keyReplyHosts, p.replyHosts},
		field{keyClusterID, p.clusterID},
		field{keyMisc, func(path string, v *yaml.Node) { p.mapping(path, v, misc) }},
	)
	p.mapping("", n, top)
	if p.lines[keyNodes] == 0 && n.Kind == yaml.MappingNode {
		p.fail(0, keyNodes, "is missing, needs a list of replicas, each with host and port")
	}
}

// mapping reads a mapping of the given fields, each at most once.
func (p *parser) mapping(path string, n *yaml.Node, fields []field) {
	if n.Kind != yaml.MappingNode {
		p.fail(n.Line, path, "is %s, must hold keys: %s", describe(n), fieldNames(fields))
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		at := slices.IndexFunc(fields, func(f field) bool {
			return k.Kind == yaml.ScalarNode && k.ShortTag() == "!!str" && f.name == k.Value
		})
		if at < 0 {
			p.fail(k.Line, path, "unknown key %s, allowed are %s", describe(k), fieldNames(fields))
			continue
		}
		name := join(path, k.Value)
		if first := p.lines[name]; first > 0 {
			p.fail(k.Line, name, "is %s here, but stands in line %d already", describe(v), first)
			continue
		}
		p.lines[name] = k.Line
		fields[at].read(name, v)
	}
}

// list reads a list, one item after the other.
func (p *parser) list(path string, n *yaml.Node, item func(path string, v *yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		p.fail(n.Line, path, "is %s, must be a list", describe(n))
		return
	}
	for i, v := range n.Content {
		at := path + "[" + strconv.Itoa(i) + "]"
		p.lines[at] = v.Line
		item(at, v)
	}
}

// value reads the value of a key of the table.
func (p *parser) value(k key) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		v, ok := p.scalar(path, n)
		if !ok {
			return
		}
		if err := k.kind.read(p.config, v); err != nil {
			p.fail(n.Line, path, "is %s, %v", describe(n), err)
		}
	}
}

// scalar takes a node as a single value. Aliases are no single values: a file
// of this size is easier to read without them.
func (p *parser) scalar(path string, n *yaml.Node) (scalar, bool) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		p.fail(n.Line, path, "is %s, must be a single value", describe(n))
		return scalar{}, false
	}
	return scalar{tag: n.ShortTag(), text: n.Value}, true
}

// maxShown is how much of a value an error repeats.
const maxShown = 80

// describe names a value in an error.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.AliasNode:
		return "the alias *" + n.Value
	case n.ShortTag() == "!!null":
		return "empty"
	}
	text := n.Value
	if len(text) > maxShown {
		text = strings.ToValidUTF8(text[:maxShown], "") + "..."
	}
	if quoted := strconv.Quote(text); n.ShortTag() == "!!str" || quoted != `"`+text+`"` {
		return quoted
	}
	return text
}

func fieldNames(fields []field) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
