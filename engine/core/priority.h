/// \file
/// Threads that may wait for others.
#pragma once

namespace convbasis {

/// From now on the calling thread, and threads that it starts, run only on what others leave where the system can do that for one
/// thread (Linux). For work beside a window that must stay smooth.
void lower_own_priority();

}  // namespace convbasis
