package execution

import (
	"cmp"
	"slices"

	"github.com/pbft-go/pbft/crypto"
)

// clientSave is one client of a save: to write, or to remove if it is evicted.
type clientSave struct {
	id     uint64
	client *client // nil: evicted
}

// clientUnits is what a client counts beforehand.
const clientUnits = 4

// unsaved lists the clients that changed since the last save, all of them if
// that is demanded, and those that are gone, by id. From now on they count as
// saved. Clients have no ids on disk but those given here.
func (t *clientTable) unsaved(all bool) (list []clientSave) {
	for _, c := range t.sorted {
		if c.saved && !all {
			continue
		}
		if c.id == 0 {
			t.nextID++
			c.id = t.nextID
		}
		c.saved = true
		list = append(list, clientSave{c.id, c})
	}
	if !all {
		for _, id := range t.gone {
			list = append(list, clientSave{id: id})
		}
	}
	t.gone = nil
	slices.SortFunc(list, func(a, b clientSave) int { return cmp.Compare(a.id, b.id) })
	return list
}

// saveClient writes a client as it was: those of its pages that changed.
func (s *saver) saveClient(w *save, c clientSave) (units int, err error) {
	s.key = keyOf(s.key, tableClients, c.id)
	if c.client == nil {
		if err := w.out.Delete(s.key); err != nil {
			return 0, err
		}
		return 2, w.out.DeleteRange(keyOf(nil, tablePages, c.id), keyOf(nil, tablePages, c.id+1))
	}
	m := s.e.clients.was(w.from.clients, c.client)
	s.value = crypto.AppendString(s.value[:0], m.name)
	s.value = crypto.AppendU64(s.value, m.low)
	s.value = crypto.AppendU64(s.value, m.lastN)
	if err := w.out.Put(s.key, s.value); err != nil {
		return 0, err
	}
	units = 1
	pages := uint64(len(m.pages))
	first := m.low / pageSize
	if c.client.onDisk > 0 { // pages that fell out of the window, or have nothing in it
		old := (c.client.onDisk - 1) / pageSize
		for i := old; i < old+pages && i <= first; i++ {
			if i == first && m.held(i) != nil {
				break
			}
			s.key = pageKey(s.key, c.id, i)
			if err := w.out.Delete(s.key); err != nil {
				return 0, err
			}
			units++
		}
	}
	for i := first; i < first+pages; i++ {
		p := m.held(i)
		if p == nil || p.saved && !w.full {
			continue
		}
		s.key = pageKey(s.key, c.id, i)
		s.value = p.append(s.value[:0])
		if err := w.out.Put(s.key, s.value); err != nil {
			return 0, err
		}
		p.saved = true
		units += 1 + len(s.value)/unitBytes
	}
	c.client.onDisk = m.low + 1
	return units, nil
}

// held is the page of the given index if it holds something, or nil.
func (m *clientImage) held(index uint64) *page {
	p := m.pages[index%uint64(len(m.pages))]
	if p == nil || p.index != index || p.set == 0 {
		return nil
	}
	return p
}
