#include "cuda/gpu.h"

#include "basis/apply_layout.h"
#include "core/errors.h"
#include "cuda/halves.h"
#include "cuda/module_table.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <utility>

namespace convbasis {
namespace {

constexpr std::size_t text_size = 512;
constexpr int most_devices = 16;

/// What the module asks, and where it writes what went wrong.
class Call {
 public:
  Call(ConvbasisCudaPool* pool, const RunContext& context)
      : call_{pool, &stopped, const_cast<RunContext*>(&context), text_.data(), text_.size()} {}

  const ConvbasisCudaCall* get() const { return &call_; }
  const char* text() const { return text_.data(); }
  void require_done(int result) const {
    if (result == CONVBASIS_CUDA_CANCELLED) throw Cancelled();
    if (result != CONVBASIS_CUDA_DONE) throw GpuError(text_.data(), result == CONVBASIS_CUDA_OUT_OF_MEMORY);
  }

 private:
  static int stopped(void* context) { return static_cast<const RunContext*>(context)->stop.stop_requested() ? 1 : 0; }

  std::array<char, text_size> text_{};
  ConvbasisCudaCall call_;
};

std::string shape(Index rows, Index cols) { return std::to_string(rows) + " x " + std::to_string(cols); }

template <class Matrix>
void require_shape(const char* name, const Matrix& matrix, Index rows, Index cols) {
  if (matrix.rows() == rows && matrix.cols() == cols) return;
  throw InvalidArgument(std::string(name) + " is " + shape(matrix.rows(), matrix.cols()) + "; it must be " + shape(rows, cols));
}

void require_rows(std::span<const double> lse, Index rows) {
  if (std::ssize(lse) == rows) return;
  throw InvalidArgument("lse has " + std::to_string(lse.size()) + " numbers; one a row is needed");
}

void require_on_gpu(const HeadView<float>& head) {
  require_valid(head);
  if (head.matrix != nullptr) throw InvalidArgument("the head is given by its scores; a GPU needs its query and key");
  if (head.value_width() > widest_on_gpu || head.width() > widest_on_gpu) {
    throw InvalidArgument("the head is " + std::to_string(std::max(head.width(), head.value_width())) +
                          " wide; on a GPU it may be " + std::to_string(widest_on_gpu));
  }
}

/// Numbers as the module gets them: floats where they lie, or halves of its own.
struct Numbers {
  const void* data;
  Index stride;
  std::vector<std::uint16_t> halves;

  explicit Numbers(MatrixView<float> matrix) : data(matrix.data()), stride(matrix.outerStride()) {}
  Numbers(std::vector<std::uint16_t> narrow, Index width) : data(nullptr), stride(width), halves(std::move(narrow)) {
    data = halves.data();
  }
  Numbers(const Numbers&) = delete;
  Numbers& operator=(const Numbers&) = delete;
  Numbers(Numbers&&) = default;  // a moved vector keeps its place
};

/// All of them as halves, or none.
std::vector<Numbers> numbers_of(std::initializer_list<MatrixView<float>> matrices, GpuStorage storage,
                                const RunContext& context) {
  std::vector<Numbers> result;
  for (const MatrixView<float>& matrix : matrices) {
    if (storage == GpuStorage::f32) break;
    std::vector<std::uint16_t> halves = exact_halves(matrix, context);
    if (halves.empty()) break;
    result.emplace_back(std::move(halves), matrix.cols());
  }
  if (result.size() == matrices.size()) return result;
  result.clear();
  for (const MatrixView<float>& matrix : matrices) result.emplace_back(matrix);
  return result;
}

/// One head as the module sees it. Refers to its own members.
struct OneHead {
  OneHead(const HeadView<float>& head, GpuStorage storage, const RunContext& context)
      : numbers(numbers_of({head.query, head.key, head.value}, storage, context)),
        query(numbers[0].data),
        key(numbers[1].data),
        value(numbers[2].data),
        heads{&query,
              &key,
              &value,
              numbers[0].halves.empty() ? 0 : 1,
              numbers[0].stride,
              numbers[1].stride,
              numbers[2].stride,
              head.bias.empty() ? nullptr : head.bias.data(),
              head.size(),
              head.width(),
              head.value_width(),
              1,
              1,
              static_cast<float>(head.scale)} {}
  OneHead(const OneHead&) = delete;
  OneHead& operator=(const OneHead&) = delete;

  std::vector<Numbers> numbers;
  const void* query;
  const void* key;
  const void* value;
  ConvbasisCudaHeads heads;
};

template <class Device>
std::string capability_of(const Device& device) {
  return std::to_string(device.major) + "." + std::to_string(device.minor);
}

bool old_device(const ConvbasisCudaDevice& device) {
  return device.major < oldest_major || (device.major == oldest_major && device.minor < oldest_minor);
}

}  // namespace

Gpu::Gpu(const std::filesystem::path& path) {
  // CUDA's runtime in it does not stand being unloaded while threads have used it.
  library_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library_ == nullptr) {
    status_ = {GpuStatus::Kind::no_module, std::string("no GPU module: ") + dlerror(), {}};
    return;
  }
  using Entry = const ConvbasisCudaTable* (*)(int);
  const auto entry = reinterpret_cast<Entry>(dlsym(library_, "convbasis_cuda_table"));
  table_ = entry != nullptr ? entry(CONVBASIS_CUDA_VERSION) : nullptr;
  if (table_ == nullptr) {
    status_ = {GpuStatus::Kind::no_module, "the GPU module " + path.string() + " belongs to another version of the program", {}};
    return;
  }
  look_for_devices();
}

Gpu::Gpu(const ConvbasisCudaTable* table) : table_(table) { look_for_devices(); }

Gpu::~Gpu() {
  for (ConvbasisCudaPool* pool : pools_) table_->destroy_pool(pool);
  if (library_ != nullptr) dlclose(library_);
}

void Gpu::look_for_devices() {
  const RunContext context;
  const Call call(nullptr, context);
  std::array<ConvbasisCudaDevice, most_devices> found{};
  int count = 0;
  const int result = table_->devices(found.data(), most_devices, &count, call.get());
  const std::string text = call.text();
  if (result != CONVBASIS_CUDA_DONE) {
    const bool driver = text.find("InsufficientDriver") != std::string::npos;
    status_.kind = driver ? GpuStatus::Kind::no_driver : GpuStatus::Kind::no_device;
    status_.why = (driver ? "no NVIDIA driver, or one too old for the module (" : "no GPU (") + text + ")";
    return;
  }
  for (int d = 0; d < std::min(count, most_devices); ++d) {
    const ConvbasisCudaDevice& device = found[static_cast<std::size_t>(d)];
    if (!old_device(device)) {
      status_.devices.push_back({device.name, device.major, device.minor, device.memory, d});
    } else if (status_.why.empty()) {
      status_.kind = GpuStatus::Kind::too_old;
      status_.why =
          std::string(device.name) + " has compute capability " + capability_of(device) + "; 7.5 is the oldest that does";
    }
  }
  if (!status_.devices.empty()) {
    status_.kind = GpuStatus::Kind::ready;
    status_.why = status_.devices.front().name + ", compute capability " + capability_of(status_.devices.front());
  } else if (status_.why.empty()) {
    status_ = {GpuStatus::Kind::no_device, "no GPU (the module found none)", {}};
  }
}

void Gpu::require_device(int device) const {
  if (!status_.ready()) throw GpuError(status_.why, false);
  if (device >= 0 && device < std::ssize(status_.devices)) return;
  throw InvalidArgument("device is " + std::to_string(device) + "; there are GPUs 0 to " +
                        std::to_string(status_.devices.size() - 1));
}

ConvbasisCudaPool* Gpu::pool(int device) const {
  const std::scoped_lock lock(mutex_);
  pools_.resize(status_.devices.size(), nullptr);
  ConvbasisCudaPool*& found = pools_[static_cast<std::size_t>(device)];
  if (found == nullptr) {
    const RunContext context;
    const Call call(nullptr, context);
    const int ordinal = status_.devices[static_cast<std::size_t>(device)].ordinal;
    call.require_done(table_->create_pool(ordinal, &found, call.get()));
  }
  return found;
}

void Gpu::release_memory() const {
  const std::scoped_lock lock(mutex_);
  for (ConvbasisCudaPool* pool : pools_) {
    if (pool != nullptr) table_->release_memory(pool);
  }
}

void Gpu::exact_attention(int device, const HeadView<float>& head, MutableMatrixView<float> output, std::span<double> lse,
                          const RunContext& context, GpuStorage storage) const {
  require_device(device);
  require_on_gpu(head);
  require_shape("output", output, head.size(), head.value_width());
  require_rows(lse, head.size());
  const OneHead one(head, storage, context);
  const Call call(pool(device), context);
  float* const outputs = output.data();
  double* const lses = lse.data();
  call.require_done(table_->exact_attention(&one.heads, &outputs, output.outerStride(), &lses, call.get()));
}

void Gpu::exact_backward(int device, const HeadView<float>& head, const BackwardInput<float>& forward,
                         const HeadGradients<float>& gradients, const RunContext& context, GpuStorage storage) const {
  require_device(device);
  require_on_gpu(head);
  require_gradient_shapes(head, forward.output, forward.output_gradient, gradients);
  require_rows(forward.lse, head.size());
  const Index n = head.size();
  const OneHead one(head, storage, context);
  const Call call(pool(device), context);
  const Matrix<float> output = forward.output;  // both with the same distance between rows
  const Matrix<float> output_gradient = forward.output_gradient;
  Matrix<float> query(n, head.width()), key(n, head.width()), value(n, head.value_width());
  const float* const outputs = output.data();
  const float* const output_gradients = output_gradient.data();
  const double* const lses = forward.lse.data();
  float* const queries = query.data();
  float* const keys = key.data();
  float* const values = value.data();
  call.require_done(table_->exact_backward(&one.heads, &outputs, &lses, &output_gradients, head.value_width(), &queries, &keys,
                                           &values, call.get()));
  MutableMatrixView<float>(gradients.query) = query;
  MutableMatrixView<float>(gradients.key) = key;
  MutableMatrixView<float>(gradients.value) = value;
}

std::vector<std::vector<float>> Gpu::score_columns(int device, const HeadView<float>& head, std::span<const Index> starts,
                                                   const RunContext& context, GpuStorage storage) const {
  require_device(device);
  require_on_gpu(head);
  std::vector<std::vector<float>> lags;
  std::vector<float*> targets;
  std::vector<std::int64_t> columns;
  for (const Index start : starts) {
    if (start < 0 || start >= head.size()) throw InvalidArgument("there is no column " + std::to_string(start));
    lags.emplace_back(static_cast<std::size_t>(head.size() - start));
    columns.push_back(start);
  }
  if (starts.empty()) return lags;
  targets.reserve(lags.size());
  for (std::vector<float>& lag : lags) targets.push_back(lag.data());
  const OneHead one(head, storage, context);
  const Call call(pool(device), context);
  call.require_done(table_->score_columns(&one.heads, columns.data(), std::ssize(columns), targets.data(), call.get()));
  return lags;
}

struct GpuPlan::State {
  const ConvbasisCudaTable* table;
  ConvbasisCudaPool* pool;
  Index size;
  ConvbasisCudaPlan* plan = nullptr;

  State(const ConvbasisCudaTable* of, ConvbasisCudaPool* where, Index n) : table(of), pool(where), size(n) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { table->destroy_plan(plan); }
};

GpuPlan::GpuPlan(std::unique_ptr<State> state) : state_(std::move(state)) {}
GpuPlan::GpuPlan(GpuPlan&&) noexcept = default;
GpuPlan& GpuPlan::operator=(GpuPlan&&) noexcept = default;
GpuPlan::~GpuPlan() = default;

GpuPlan Gpu::plan(int device, const std::shared_ptr<const ConvWeights<float>>& weights, Index columns, Index block,
                  const RunContext& context) const {
  if (!weights) throw InvalidArgument("the plan has no weights; it needs those of a conv basis");
  const ConvBasis<float>& basis = weights->weights;
  std::vector<AcceleratedSegment> segments;
  for (Index r = 0; r < basis.count(); ++r) segments.push_back({basis.start(r), basis.lag_vector(r)});
  std::vector<float> row_factor;
  for (Index i = 0; i < basis.size(); ++i) row_factor.push_back(weights->row_factor(i));
  return plan(device, {basis.size(), segments, row_factor, columns, block}, context);
}

GpuPlan Gpu::plan(int device, const AcceleratedWeights& weights, const RunContext& context) const {
  require_device(device);
  std::vector<const float*> lags;
  std::vector<Index> starts;
  for (const AcceleratedSegment& segment : weights.segments) {
    starts.push_back(segment.start);
    lags.push_back(segment.lags.data());
  }
  const ApplyLayout layout = choose_layout(weights.size, starts, weights.columns, weights.block);
  const std::vector<std::int64_t> first_columns(starts.begin(), starts.end());
  std::vector<std::int64_t> segments, blocks, first, last;
  for (const Piece& piece : layout.pieces) {
    segments.push_back(piece.segment);
    blocks.push_back(piece.block);
    first.push_back(piece.first);
    last.push_back(piece.last);
  }
  const std::vector<std::int64_t> direct(layout.direct_segments.begin(), layout.direct_segments.end());
  const ConvbasisCudaWeights given{
      weights.size, std::ssize(weights.segments), first_columns.data(), lags.data(),   weights.row_factor.data(),
      layout.block, std::ssize(segments),         segments.data(),      blocks.data(), first.data(),
      last.data(),  std::ssize(direct),           direct.data()};
  auto state = std::make_unique<GpuPlan::State>(table_, pool(device), weights.size);
  const Call call(state->pool, context);
  call.require_done(table_->create_plan(&given, &state->plan, call.get()));
  return GpuPlan(std::move(state));
}

void GpuPlan::run(MatrixView<float> value, bool transpose, MutableMatrixView<float> output, const RunContext& context,
                  GpuStorage storage) const {
  require_shape("value", value, state_->size, std::max<Index>(1, value.cols()));
  require_shape("output", output, state_->size, value.cols());
  const std::vector<Numbers> numbers = numbers_of({value}, storage, context);
  const Call call(state_->pool, context);
  call.require_done(state_->table->apply(state_->plan, numbers[0].data, numbers[0].halves.empty() ? 0 : 1, numbers[0].stride,
                                         value.cols(), transpose ? 1 : 0, output.data(), output.outerStride(), call.get()));
}

void GpuPlan::apply(MatrixView<float> value, MutableMatrixView<float> output, const RunContext& context,
                    GpuStorage storage) const {
  run(value, false, output, context, storage);
}

void GpuPlan::apply_transpose(MatrixView<float> value, MutableMatrixView<float> output, const RunContext& context,
                              GpuStorage storage) const {
  run(value, true, output, context, storage);
}

}  // namespace convbasis
