package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"

	"gopkg.in/yaml.v3"
)

// maxFile is the largest file that is read: 64 replicas need a hundredth.
const maxFile = 1 << 20

// Load reads and checks a configuration file.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return Parse(path, data)
}

// Parse checks the content of a configuration file; name stands for it in
// errors. The error holds everything that is wrong, one line each, with file,
// line, key, value and what is allowed.
func Parse(name string, data []byte) (*Config, error) {
	p := &parser{file: name, lines: map[string]int{}, config: defaults()}
	root := p.document(data)
	if root == nil {
		return nil, p.problems()
	}
	p.root(root)
	if len(p.errs) == 0 { // combinations of wrong values would only confuse
		p.check()
	}
	if len(p.errs) > 0 {
		return nil, p.problems()
	}
	return p.config, nil
}

// parser carries one file from text to a checked configuration.
type parser struct {
	file   string
	lines  map[string]int // of the keys that the file holds
	config *Config
	errs   []error
	more   int // problems that are not in errs
}

// maxProblems is how many problems are reported at once.
const maxProblems = 20

func (p *parser) problems() error {
	if p.more > 0 {
		p.errs = append(p.errs, fmt.Errorf("%s: and %d problems more", p.file, p.more))
	}
	return errors.Join(p.errs...)
}

// fail reports a problem of a key; line 0 stands for the file as a whole.
func (p *parser) fail(line int, key, format string, args ...any) {
	if len(p.errs) == maxProblems {
		p.more++
		return
	}
	where := p.file
	if line > 0 {
		where += ":" + strconv.Itoa(line)
	}
	if key != "" {
		where += ": " + key
	}
	p.errs = append(p.errs, fmt.Errorf("%s: %s", where, fmt.Sprintf(format, args...)))
}

// document parses the one document of a file. It returns nil after a failure.
func (p *parser) document(data []byte) *yaml.Node {
	if len(data) > maxFile {
		p.fail(0, "", "larger than %s, the most that is read", bytesText(maxFile))
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		p.fail(0, "", "is empty, needs at least the key %q", keyNodes)
		return nil
	case err != nil:
		p.syntax(err)
		return nil
	}
	switch err := dec.Decode(&second); {
	case err == nil:
		p.fail(second.Line, "", "a second document, allowed is one")
		return nil
	case !errors.Is(err, io.EOF):
		p.syntax(err)
		return nil
	}
	if len(doc.Content) != 1 || doc.Content[0].ShortTag() == "!!null" {
		p.fail(0, "", "is empty, needs at least the key %q", keyNodes)
		return nil
	}
	return doc.Content[0]
}

var yamlError = regexp.MustCompile(`(?s)^yaml: (?:line (\d+): )?(.*)$`)

// syntax reports an error of the YAML library in the form of all others.
func (p *parser) syntax(err error) {
	m := yamlError.FindStringSubmatch(err.Error())
	if m == nil {
		p.fail(0, "", "no valid YAML: %v", err)
		return
	}
	line, _ := strconv.Atoi(m[1]) // 0 where the library names none
	p.fail(line, "", "no valid YAML: %s", m[2])
}
