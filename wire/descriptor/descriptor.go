// Package descriptor holds the service's protobuf descriptors with their
// comments. The generated Go code carries descriptors too, but drops the
// comments; given to gRPC reflection, these let grpcurl describe show what the
// proto files say.
package descriptor

import (
	_ "embed" // the descriptor set below
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Set is the FileDescriptorSet of proto/, source info included, imports left
// out. `make generate` writes it.
//
//go:embed pbft.binpb
var Set []byte

// Resolver returns the descriptors of Set. What is not in it, such as the
// well-known types and the health service, it finds among the descriptors that
// are linked into the program.
func Resolver() (protodesc.Resolver, error) {
	return resolve(Set)
}

func resolve(set []byte) (protodesc.Resolver, error) {
	var fds descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(set, &fds); err != nil {
		return nil, fmt.Errorf("descriptor set: %w; run make generate", err)
	}
	r := layered{over: new(protoregistry.Files), under: protoregistry.GlobalFiles}
	for _, fd := range fds.GetFile() { // a file comes after those it imports
		file, err := protodesc.NewFile(fd, r)
		if err != nil {
			return nil, fmt.Errorf("descriptor set: %s: %w; a program that uses it must link the Go code of what the file imports", fd.GetName(), err)
		}
		if err := r.over.RegisterFile(file); err != nil {
			return nil, fmt.Errorf("descriptor set: %s: %w; run make generate", fd.GetName(), err)
		}
	}
	return r, nil
}

// layered finds a descriptor in over, else in under.
type layered struct{ over, under *protoregistry.Files }

func (l layered) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	file, err := l.over.FindFileByPath(path)
	if errors.Is(err, protoregistry.NotFound) {
		return l.under.FindFileByPath(path)
	}
	return file, err
}

func (l layered) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	d, err := l.over.FindDescriptorByName(name)
	if errors.Is(err, protoregistry.NotFound) {
		return l.under.FindDescriptorByName(name)
	}
	return d, err
}
