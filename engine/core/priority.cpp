#include "core/priority.h"

#ifdef __linux__
#include <sys/resource.h>
#endif

namespace convbasis {

void lower_own_priority() {
#ifdef __linux__
  // On Linux a priority belongs to a thread; 0 is the calling one. It may fail, and then nothing is lost.
  constexpr int nice = 10;
  (void)setpriority(PRIO_PROCESS, 0, nice);
#endif
}

}  // namespace convbasis
