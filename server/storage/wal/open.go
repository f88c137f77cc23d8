package wal

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/storage/file"
)

// Open verifies the whole log, gives each record to take, in order, and returns
// the log to append to. A log that is not there begins empty. The records begin
// with the facts that stood when the oldest segment began; what take gets is its
// own to keep.
//
// A write that was cut when power failed is dropped: its append had not
// returned. Any other damage is a *CorruptError; nothing on disk has been changed
// then. An error of take ends it too.
func Open(o Options, take func(*consensus.Record) error) (*Log, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	l := &Log{o: o}
	s := scan{l: l, take: take}
	leftover, err := l.files()
	if err == nil {
		err = s.run()
	}
	if err != nil {
		return nil, fmt.Errorf("open the log in %s: %w", o.Dir, err)
	}
	if o.ReadOnly {
		l.err = fmt.Errorf("change the log in %s: %w", o.Dir, file.ErrReadOnly)
		return l, nil
	}
	if err := l.resume(leftover, s.tail); err != nil {
		return nil, fmt.Errorf("open the log in %s: %w", o.Dir, l.closeFile(err))
	}
	return l, nil
}

// files finds the segments and spares. It gives the names of what is left over
// from creating one.
func (l *Log) files() (leftover []string, err error) {
	if !l.o.ReadOnly {
		if err := l.o.FS.MkdirAll(l.o.Dir); err != nil {
			return nil, err
		}
	}
	names, err := l.o.FS.List(l.o.Dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if n, ok := numberIn(name, suffixLog); ok && n > 0 {
			l.segs = append(l.segs, segment{number: n})
		}
		if n, ok := numberIn(name, suffixSpare); ok {
			l.spares = append(l.spares, spare{number: n})
		}
		if name == nameNew || name == nameAhead {
			leftover = append(leftover, name)
		}
	}
	// By number: names have ten digits, or more.
	slices.SortFunc(l.segs, func(a, b segment) int { return cmp.Compare(a.number, b.number) })
	slices.SortFunc(l.spares, func(a, b spare) int { return cmp.Compare(a.number, b.number) })
	for i := 1; i < len(l.segs); i++ {
		if want := l.segs[i-1].number + 1; l.segs[i].number != want {
			missing := segment{number: want}
			return nil, &CorruptError{l.o.path(missing.name()), 0, fmt.Sprintf("this segment is missing, %s is there", l.segs[i].name())}
		}
	}
	for i := range l.spares {
		if l.spares[i].size, err = l.sizeOf(l.spares[i].name()); err != nil {
			return nil, err
		}
	}
	if len(l.segs) == 0 && len(l.spares) > 0 {
		return nil, &CorruptError{l.o.path(nameOf(1, suffixLog)), 0, fmt.Sprintf("there is no segment, but %s, so there were some", l.spares[0].name())}
	}
	return leftover, nil
}

// resume makes the log ready to append, once all of it was found in order.
func (l *Log) resume(leftover []string, tail int64) error {
	for _, name := range leftover {
		if err := l.remove(l.o.path(name)); err != nil {
			return fmt.Errorf("clear away what a crash left: %w", err)
		}
	}
	if err := l.trimSpares(); err != nil {
		return err
	}
	if len(l.segs) == 0 {
		var err error
		if l.id, err = l.o.draw(); err != nil {
			return err
		}
		l.stats.Clean = true
		return l.roll(0)
	}
	last := &l.segs[len(l.segs)-1]
	f, err := l.o.FS.Open(l.o.path(last.name()))
	if err != nil {
		return err
	}
	l.f = f
	l.off.Store(last.used)
	if err := l.secure(tail); err != nil {
		return fmt.Errorf("make the last frame of the log durable, at %d of %s: %w", last.used-tail, l.o.path(last.name()), err)
	}
	return nil
}

// secure writes the last frame once more, as it is. If the process died before
// its sync returned, the frame may have been read from memory alone; whoever
// opened the log acts on it, so it must not go away any more. All frames before
// it are durable.
func (l *Log) secure(tail int64) error {
	l.frame.b = file.Aligned(int(tail))
	at := l.off.Load() - tail
	if _, err := l.f.ReadAt(l.frame.b, at); err != nil {
		return err
	}
	if link(l.frame.b) != l.chain {
		return errors.New("it is read as another one now")
	}
	return l.f.WriteSync(l.frame.b, at)
}

// trimSpares removes the spares that are too many, or of another size.
func (l *Log) trimSpares() error {
	kept := l.spares[:0]
	for _, s := range l.spares {
		if s.size == l.o.SegmentBytes && len(kept) < maxSpares {
			kept = append(kept, s)
			continue
		}
		if err := l.remove(l.o.path(s.name())); err != nil {
			return fmt.Errorf("remove a spare segment: %w", err)
		}
	}
	l.spares = kept
	return nil
}

func (l *Log) sizeOf(name string) (int64, error) {
	f, err := l.o.FS.Open(l.o.path(name))
	if err != nil {
		return 0, err
	}
	size, err := f.Size()
	return size, cmp.Or(err, f.Close())
}
