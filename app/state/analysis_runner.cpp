#include "state/analysis_runner.h"

#include "core/errors.h"
#include "core/priority.h"
#include "state/accelerator_record.h"

#include <exception>
#include <utility>

namespace convscope {

namespace {

using ExactPart = convbasis::ExactPart<float>;

/// Up to here exact attention takes some milliseconds, and is worth no second thought.
constexpr Index few_tokens = 4096;
/// Up to here all rows take about a second.
constexpr Index most_tokens_of_all_rows = 32768;

/// The approximation is made from all probabilities, and their normalisers before.
bool reads_all_rows(const AnalysisRequest& request) {
  return request.is_svd() || (request.method == Method::fit && !convbasis::FitWay{}.sampled(request.n));
}

convbasis::HeadAnalysis<float> approximate(const AnalysisRequest& request,
                                           const std::shared_ptr<const convbasis::HeadTensors<float>>& tensors,
                                           const std::shared_ptr<const ExactPart>& exact, const convbasis::RunContext& context) {
  switch (request.method) {
    case Method::fit:
      return convbasis::fit_head(tensors, exact, request.fit_options(), {}, context);
    case Method::rank:
      return convbasis::rank_head(tensors, exact, request.rank_options(), context);
    case Method::recover:
      break;
  }
  return convbasis::recover_head(tensors, exact, request.options(), context, request.starts);
}

/// The exception being handled. The catch clauses stand here once, for both kinds of job.
Failure current_failure() {
  try {
    throw;
  } catch (const convbasis::InvalidArgument& error) {
    return {Failure::Kind::argument, error.what()};
  } catch (const convbasis::FileError& error) {
    return {Failure::Kind::file, error.what()};
  } catch (const std::bad_alloc&) {
    return {Failure::Kind::other, "not enough memory for this; a smaller n needs less"};
  } catch (const std::exception& error) {
    return {Failure::Kind::other, error.what()};
  } catch (...) {
    return {Failure::Kind::other, "unknown error"};
  }
}

}  // namespace

AnalysisRunner::AnalysisRunner(std::function<void()> wake)
    : wake_(std::move(wake)), thread_([this](const std::stop_token& quit) { work(quit); }) {}

AnalysisRunner::~AnalysisRunner() {
  cancel();
  thread_.request_stop();
  thread_.join();
}

void AnalysisRunner::open(std::uint64_t id, SourceRecipe recipe) {
  const std::lock_guard lock(mutex_);
  waiting_open_ = OpenJob{id, std::move(recipe)};
  waiting_analysis_.reset();
  running_.request_stop();
  work_arrived_.notify_one();
}

void AnalysisRunner::analyze(std::shared_ptr<const Source> source, const AnalysisRequest& request, const ChosenDevice& device) {
  const std::lock_guard lock(mutex_);
  waiting_analysis_ = AnalysisJob{std::move(source), request, device.accelerator(request.n), device.wish};
  analysed_.reset();
  running_.request_stop();
  work_arrived_.notify_one();
}

void AnalysisRunner::cancel() {
  const std::lock_guard lock(mutex_);
  waiting_open_.reset();
  waiting_analysis_.reset();
  analysed_.reset();
  running_.request_stop();
}

std::optional<OpenResult> AnalysisRunner::take_opened() {
  const std::lock_guard lock(mutex_);
  return std::exchange(opened_, std::nullopt);
}

std::optional<AnalysisResult> AnalysisRunner::take_analysis() {
  const std::lock_guard lock(mutex_);
  return std::exchange(analysed_, std::nullopt);
}

Progress AnalysisRunner::progress() const {
  const std::lock_guard lock(mutex_);
  Progress progress = progress_;
  progress.busy = working_ || waiting_open_ || waiting_analysis_ || opened_ || analysed_;
  return progress;
}

void AnalysisRunner::report(std::string_view stage, double fraction) {
  const std::lock_guard lock(mutex_);
  progress_.stage = stage;
  progress_.fraction = fraction;
}

void AnalysisRunner::work(const std::stop_token& quit) {
  convbasis::lower_own_priority();
  std::unique_lock lock(mutex_);
  while (true) {
    working_ = false;
    progress_ = {};
    // After every job, also one that ended without a result: the window must see that the work is over.
    lock.unlock();
    wake_();
    lock.lock();
    if (!work_arrived_.wait(lock, quit, [this] { return waiting_open_ || waiting_analysis_; })) return;
    working_ = true;
    if (waiting_open_) {
      const OpenJob job = *std::exchange(waiting_open_, std::nullopt);
      running_ = std::stop_source(std::nostopstate);
      lock.unlock();
      OpenResult result = run(job);
      lock.lock();
      opened_ = std::move(result);
    } else {
      const AnalysisJob job = *std::exchange(waiting_analysis_, std::nullopt);
      running_ = std::stop_source();
      const std::stop_token stop = running_.get_token();
      lock.unlock();
      run(job, stop);
      lock.lock();
    }
  }
}

OpenResult AnalysisRunner::run(const OpenJob& job) const {
  OpenResult result{.id = job.id, .source = {}, .failure = {}};
  try {
    result.source = std::make_shared<const Source>(job.id, job.recipe);
  } catch (...) {
    result.failure = current_failure();
  }
  return result;
}

void AnalysisRunner::run(const AnalysisJob& job, const std::stop_token& stop) {
  try {
    compute(job, stop);
  } catch (const convbasis::Cancelled&) {
    return;
  } catch (...) {
    AnalysisResult result;
    result.request = job.request;
    result.source = job.source;
    result.last = true;
    result.failure = current_failure();
    publish(std::move(result), stop);
  }
}

AnalysisResult AnalysisRunner::begin(const AnalysisJob& job, bool again) {
  AnalysisResult result;
  result.request = job.request;
  result.source = job.source;
  result.exact_id = again ? last_->exact_id : next_id_++;
  result.approximation_id = next_id_++;
  result.accelerator = job.accelerator;
  result.wish = job.wish;
  return result;
}

void AnalysisRunner::compute(const AnalysisJob& job, const std::stop_token& stop) {
  const auto record = job.accelerator ? std::make_unique<const AcceleratorRecord>(job.accelerator) : nullptr;
  convbasis::RunContext context;
  context.stop = stop;
  context.progress = [this](std::string_view stage, double fraction) { report(stage, fraction); };
  context.accelerator = record.get();
  const AnalysisRequest& request = job.request;
  const bool again = last_ && same_exact_part(last_->request, request) && last_->accelerator == job.accelerator;
  const auto tensors = again ? last_->analysis->tensors : job.source->share(request.layer, request.head, request.n);
  auto exact = again ? last_->analysis->exact : std::make_shared<const ExactPart>(convbasis::no_exact_part<float>(request.n));
  const bool accelerated_before = again && exact_accelerated_;

  AnalysisResult result = begin(job, again);
  const auto deliver = [&](convbasis::HeadAnalysis<float> found, bool last) {
    result.analysis = std::make_shared<const convbasis::HeadAnalysis<float>>(std::move(found));
    result.last = last;
    if (record && (accelerated_before || record->did_anything())) result.device = record->name();
    publish(result, stop);
    last_ = result;
    exact_accelerated_ = accelerated_before || (record && record->did_attention());
  };
  if (request.method == Method::rank) convbasis::require_valid(request.rank_options(), tensors->view(request.n));
  if (reads_all_rows(request) && !exact->complete()) {
    exact = std::make_shared<const ExactPart>(convbasis::exact_part(tensors->view(request.n), context));
  }
  auto analysis = approximate(request, tensors, exact, context);
  if (request.n > few_tokens) {
    deliver(analysis, false);
    if (exact->rows.empty()) {
      report("exact attention of some rows", 0.0);
      exact = std::make_shared<const ExactPart>(convbasis::sampled_exact_part(analysis.head(), exact->normalisers, context));
    }
    convbasis::assess_head(analysis, exact, context);
    if (exact->complete() || (request.n > most_tokens_of_all_rows && !request.all_rows)) {
      deliver(std::move(analysis), true);
      return;
    }
    deliver(analysis, false);
  }
  if (!exact->complete()) exact = std::make_shared<const ExactPart>(convbasis::exact_part(analysis.head(), context));
  convbasis::assess_head(analysis, exact, context);
  deliver(std::move(analysis), true);
}

void AnalysisRunner::publish(AnalysisResult result, const std::stop_token& stop) {
  {
    const std::lock_guard lock(mutex_);
    // Under the lock: nobody can ask for something newer between the question and the answer.
    if (stop.stop_requested()) throw convbasis::Cancelled();
    analysed_ = std::move(result);
  }
  wake_();
}

}  // namespace convscope
