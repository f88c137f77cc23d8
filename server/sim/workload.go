package sim

import "fmt"

// operation makes the next operation. Every value is written once, so that a
// result says which operation it came from.
func (c *client) operation() []byte {
	r := c.w.rnd
	if c.w.plan.Application == "log" {
		return fmt.Appendf(nil, "%s/%d", c.name, c.next)
	}
	key := r.IntN(6)
	value := fmt.Sprintf("%s.%d", c.name, c.next)
	if r.IntN(20) == 0 {
		value += fmt.Sprintf("%0300d", c.next) // longer than what stands in a bucket itself
	}
	switch r.IntN(10) {
	case 0, 1, 2, 3:
		return fmt.Appendf(nil, "put k%d %s", key, value)
	case 4:
		return fmt.Appendf(nil, "delete k%d", key)
	case 5:
		return fmt.Appendf(nil, "cas k%d %s %s", key, c.lastValue, value)
	case 6:
		return fmt.Appendf(nil, "nonsense k%d", key)
	default:
		return fmt.Appendf(nil, "get k%d", key)
	}
}
