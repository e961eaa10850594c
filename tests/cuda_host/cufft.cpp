#include <cufft.h>

#include "cuda_host/plans.h"

#include <fftw3.h>

#include <cstdint>
#include <map>
#include <vector>

namespace cuda_host {
namespace {

/// One plan. The layout is FFTW's advanced one, which cuFFT's is modelled on.
struct Plan {
  bool made = false, automatic = true;
  cufftType type = CUFFT_C2C;
  int length = 0, batch = 0;
  int in_stride = 1, in_distance = 0, out_stride = 1, out_distance = 0;
  std::size_t work_bytes = 0;
  void* work_area = nullptr;
  cudaStream_t stream = nullptr;
};

std::map<cufftHandle, Plan>& plans() {
  static std::map<cufftHandle, Plan> all;
  return all;
}

Plan* find(cufftHandle handle) {
  const auto found = plans().find(handle);
  return found == plans().end() ? nullptr : &found->second;
}

using Lock = std::scoped_lock<std::recursive_mutex>;

fftwf_complex* as_fftw(cufftComplex* numbers) { return reinterpret_cast<fftwf_complex*>(numbers); }

/// Calls `make` for an FFTW plan, runs and destroys it. The work area is overwritten, as cuFFT may do.
template <class Make>
cufftResult execute(Plan& plan, cufftType type, const char* call, const void* in, const void* out, const Make& make) {
  if (!plan.made) return CUFFT_INVALID_PLAN;
  if (plan.type != type) return CUFFT_INVALID_TYPE;
  if (in == nullptr || out == nullptr) return CUFFT_INVALID_VALUE;
  if (plan.work_area == nullptr) return CUFFT_EXEC_FAILED;
  const cudaError_t queued = enqueue(call, plan.stream, [copy = plan, make] {
    std::memset(copy.work_area, 0xFF, copy.work_bytes);
    const fftwf_plan fftw = make(copy);
    fftwf_execute(fftw);
    fftwf_destroy_plan(fftw);
  });
  return queued == cudaSuccess ? CUFFT_SUCCESS : CUFFT_EXEC_FAILED;
}

}  // namespace

std::size_t live_plans() {
  const Lock lock(runtime_mutex());
  return plans().size();
}

}  // namespace cuda_host

using namespace cuda_host;

cufftResult cufftCreate(cufftHandle* plan) {
  const Lock lock(runtime_mutex());
  static cufftHandle last = 0;
  if (injected_failure("cufftCreate")) return CUFFT_INTERNAL_ERROR;
  *plan = ++last;
  plans()[*plan] = {};
  return CUFFT_SUCCESS;
}

cufftResult cufftDestroy(cufftHandle plan) {
  const Lock lock(runtime_mutex());
  return plans().erase(plan) == 1 ? CUFFT_SUCCESS : CUFFT_INVALID_PLAN;
}

cufftResult cufftSetAutoAllocation(cufftHandle plan, int wanted) {
  const Lock lock(runtime_mutex());
  Plan* found = find(plan);
  if (found == nullptr || found->made) return CUFFT_INVALID_PLAN;
  found->automatic = wanted != 0;
  return CUFFT_SUCCESS;
}

cufftResult cufftMakePlanMany64(cufftHandle plan, int rank, long long* n, long long* inembed, long long istride, long long idist,
                                long long* onembed, long long ostride, long long odist, cufftType type, long long batch,
                                std::size_t* work_bytes) {
  const Lock lock(runtime_mutex());
  if (injected_failure("cufftMakePlanMany64")) return CUFFT_ALLOC_FAILED;
  Plan* found = find(plan);
  if (found == nullptr || found->made) return CUFFT_INVALID_PLAN;
  if (rank != 1 || n == nullptr || n[0] < 1 || batch < 1 || work_bytes == nullptr) return CUFFT_INVALID_SIZE;
  if (found->automatic) return CUFFT_INVALID_VALUE;  // the engine shares one work area among all plans
  const long long half = n[0] / 2 + 1;
  const bool basic = inembed == nullptr || onembed == nullptr;  // strides and distances are then ignored
  const long long in_basic = type == CUFFT_C2R ? half : n[0];
  const long long out_basic = type == CUFFT_R2C ? half : n[0];
  *found = {.made = true,
            .automatic = false,
            .type = type,
            .length = static_cast<int>(n[0]),
            .batch = static_cast<int>(batch),
            .in_stride = basic ? 1 : static_cast<int>(istride),
            .in_distance = static_cast<int>(basic ? in_basic : idist),
            .out_stride = basic ? 1 : static_cast<int>(ostride),
            .out_distance = static_cast<int>(basic ? out_basic : odist),
            .work_bytes = static_cast<std::size_t>(n[0] * batch) * sizeof(cufftComplex)};
  *work_bytes = found->work_bytes;
  return CUFFT_SUCCESS;
}

cufftResult cufftSetWorkArea(cufftHandle plan, void* area) {
  const Lock lock(runtime_mutex());
  Plan* found = find(plan);
  if (found == nullptr || !found->made) return CUFFT_INVALID_PLAN;
  found->work_area = area;
  return CUFFT_SUCCESS;
}

cufftResult cufftSetStream(cufftHandle plan, cudaStream_t stream) {
  const Lock lock(runtime_mutex());
  Plan* found = find(plan);
  if (found == nullptr) return CUFFT_INVALID_PLAN;
  found->stream = stream;
  return CUFFT_SUCCESS;
}

cufftResult cufftExecC2C(cufftHandle plan, cufftComplex* in, cufftComplex* out, int direction) {
  const Lock lock(runtime_mutex());
  Plan* found = find(plan);
  if (found == nullptr) return CUFFT_INVALID_PLAN;
  if (direction != CUFFT_FORWARD && direction != CUFFT_INVERSE) return CUFFT_INVALID_VALUE;
  return execute(*found, CUFFT_C2C, "cufftExecC2C", in, out, [=](const Plan& p) {
    return fftwf_plan_many_dft(1, &p.length, p.batch, as_fftw(in), nullptr, p.in_stride, p.in_distance, as_fftw(out), nullptr,
                               p.out_stride, p.out_distance, direction, FFTW_ESTIMATE);
  });
}

cufftResult cufftExecR2C(cufftHandle plan, cufftReal* in, cufftComplex* out) {
  const Lock lock(runtime_mutex());
  Plan* found = find(plan);
  if (found == nullptr) return CUFFT_INVALID_PLAN;
  return execute(*found, CUFFT_R2C, "cufftExecR2C", in, out, [=](const Plan& p) {
    return fftwf_plan_many_dft_r2c(1, &p.length, p.batch, in, nullptr, p.in_stride, p.in_distance, as_fftw(out), nullptr,
                                   p.out_stride, p.out_distance, FFTW_ESTIMATE);
  });
}

cufftResult cufftExecC2R(cufftHandle plan, cufftComplex* in, cufftReal* out) {
  const Lock lock(runtime_mutex());
  Plan* found = find(plan);
  if (found == nullptr) return CUFFT_INVALID_PLAN;
  return execute(*found, CUFFT_C2R, "cufftExecC2R", in, out, [=](const Plan& p) {
    return fftwf_plan_many_dft_c2r(1, &p.length, p.batch, as_fftw(in), nullptr, p.in_stride, p.in_distance, out, nullptr,
                                   p.out_stride, p.out_distance, FFTW_ESTIMATE);
  });
}
