package sim

import "flag"

var liarSeeds = flag.Int("liarseeds", 3, "")
