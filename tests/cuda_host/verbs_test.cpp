// Every verb of the GPU module, run on the CPU, over the table of verbs.h.
#include "cuda_host/verbs.h"
#include "cuda/module_table.h"
#include "cuda_host/schedules.h"

#include <gtest/gtest.h>

namespace convbasis {
namespace {

using namespace cuda_verbs;

TEST(CudaVerbs, AgreeWithTheReferences) {
  const Gpu gpu(convbasis_cuda_table(CONVBASIS_CUDA_VERSION));
  ASSERT_TRUE(gpu.status().ready()) << gpu.status().why;
  for (const Verb& verb : verbs()) {
    for (const Shape& shape : verb.shapes) {
      cuda_host::for_each_schedule([&] {
        for (const Result& result : verb.run(gpu, shape)) {
          const double error = result.error();
          EXPECT_TRUE(error <= tolerance) << verb.name << " " << result.what << " " << name_of(shape) << ": " << error;
        }
      });
    }
  }
  EXPECT_TRUE(cuda_host::leftovers().none());
}

}  // namespace
}  // namespace convbasis
