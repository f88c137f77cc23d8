package consensus

// MaxFaulty is f, the number of faulty replicas that n replicas tolerate.
func MaxFaulty(n int) int { return (n - 1) / 3 }

// Quorum is q = ceil((n+f+1)/2). For every n >= 3f+1:
//
//   - two quorums share at least f+1 replicas, so at least one correct one;
//   - q <= n-f, so q answers always come once the network behaves;
//   - a quorum holds at least f+1 correct replicas.
//
// Where the papers say 2f+1, which is this for n = 3f+1, the code says Quorum.
func Quorum(n int) int { return (n+MaxFaulty(n))/2 + 1 }

// WeakQuorum is f+1: at least one member is correct.
func WeakQuorum(n int) int { return MaxFaulty(n) + 1 }

// Primary is the primary of a view among n replicas.
func Primary(view uint64, n int) int { return int(view % uint64(n)) }
