#include "state/analysis_runner.h"

#include "core/errors.h"

#include <exception>
#include <utility>

namespace convscope {

namespace {

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

void AnalysisRunner::analyze(std::shared_ptr<const Source> source, const AnalysisRequest& request) {
  const std::lock_guard lock(mutex_);
  waiting_analysis_ = AnalysisJob{std::move(source), request};
  running_.request_stop();
  work_arrived_.notify_one();
}

void AnalysisRunner::cancel() {
  const std::lock_guard lock(mutex_);
  waiting_open_.reset();
  waiting_analysis_.reset();
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
      std::optional<AnalysisResult> result = run(job, stop);
      lock.lock();
      if (result) analysed_ = std::move(result);
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

std::optional<AnalysisResult> AnalysisRunner::run(const AnalysisJob& job, const std::stop_token& stop) {
  AnalysisResult result{.request = job.request, .source = job.source, .analysis = {}, .failure = {}};
  try {
    result.analysis = compute(job, stop);
    result.approximation_id = next_id_++;
    result.exact_id = last_ && same_exact_part(last_->request, job.request) ? last_->exact_id : next_id_++;
    last_ = result;
  } catch (const convbasis::Cancelled&) {
    return std::nullopt;
  } catch (...) {
    result.failure = current_failure();
  }
  return result;
}

std::shared_ptr<const convbasis::HeadAnalysis<float>> AnalysisRunner::compute(const AnalysisJob& job,
                                                                              const std::stop_token& stop) {
  convbasis::RunContext context;
  context.stop = stop;
  context.progress = [this](std::string_view stage, double fraction) { report(stage, fraction); };
  const AnalysisRequest& request = job.request;
  if (last_ && same_exact_part(last_->request, request)) {
    return std::make_shared<convbasis::HeadAnalysis<float>>(
        convbasis::reanalyze_head(*last_->analysis, request.options(), context));
  }
  auto head = job.source->load(request.layer, request.head, request.n);
  return std::make_shared<convbasis::HeadAnalysis<float>>(convbasis::analyze_head(std::move(head), request.options(), context));
}

}  // namespace convscope
