#include "state/head_survey.h"

#include "core/errors.h"
#include "core/priority.h"
#include "core/threads.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <new>
#include <utility>

namespace convscope {

namespace {

using convbasis::HeadSummary;
using convbasis::HeadSummaryOptions;
using Clock = std::chrono::steady_clock;

/// Frames are drawn for results; more of them than this a second would take the time that the work needs.
constexpr auto wake_interval = std::chrono::milliseconds(250);

/// Equal but for k.
bool same_but_k(HeadSummaryOptions a, const HeadSummaryOptions& b) {
  a.recover.k = b.recover.k;
  return a == b;
}

/// What a layer of fewer tokens allows.
HeadSummaryOptions cut(HeadSummaryOptions options, Index n) {
  options.recover.k = std::clamp<Index>(options.recover.k, 1, n);
  options.recover.T = std::clamp<Index>(options.recover.T, 1, n);
  return options;
}

/// "40 s", "2 min": an estimate has no decimals.
std::string about(double seconds) {
  if (seconds < 1.0) return "1 s";
  if (seconds < 90.0) return fmt::format("{:.0f} s", std::ceil(seconds));
  if (seconds < 90.0 * 60.0) return fmt::format("{:.0f} min", std::ceil(seconds / 60.0));
  return fmt::format("{:.0f} h", std::ceil(seconds / 3600.0));
}

}  // namespace

std::string progress_text(const SurveyProgress& progress) {
  const char* heads = progress.total == 1 ? "head" : "heads";
  if (progress.done == progress.total) return fmt::format("{} {}", progress.total, heads);
  const std::string count = fmt::format("{} of {} {}", progress.done, progress.total, heads);
  if (progress.held) return count + ", waiting";
  if (!progress.running) return count;
  if (progress.seconds_left <= 0.0) return count;
  return count + ", about " + about(progress.seconds_left) + " left";
}

HeadSurvey::HeadSurvey(std::function<void()> wake)
    : wake_(std::move(wake)), thread_([this](const std::stop_token& quit) { work(quit); }) {}

HeadSurvey::~HeadSurvey() {
  cancel();
  thread_.request_stop();
  thread_.join();
}

void HeadSurvey::want(std::shared_ptr<const Source> source, Index n, const HeadSummaryOptions& options) {
  const bool same = source == source_ && n == n_ && same_but_k(options, options_);
  if (same && options.recover.k == options_.recover.k) return;
  stop();
  source_ = std::move(source);
  n_ = n;
  options_ = options;
  if (same) {
    take_other_k();
  } else {
    forget();
  }
  if (started_) start();
}

void HeadSurvey::forget() {
  heads_.clear();
  ++version_;
  seconds_ = 0.0;
  measured_ = 0;
  total_ = 0;
  if (!source_) return;
  for (const auto& layer : source_->layers()) total_ += layer.heads;
}

void HeadSurvey::take_other_k() {
  ++version_;
  for (auto& [place, head] : heads_) {
    if (!head.summary) continue;
    const Index k = cut(options_, head.summary->n).recover.k;
    head.stale = head.summary->options.recover.k != k;
    if (!head.stale) continue;
    if (auto known = convbasis::with_known_k(*head.summary, k)) {
      head.summary = std::make_shared<const HeadSummary>(std::move(*known));
      head.stale = false;
    }
  }
}

HeadSurvey::Job HeadSurvey::job_for(const convbasis::LayerInfo& layer, Index head) const {
  const Index n = std::clamp<Index>(n_, 1, layer.size);
  return {.place = {layer.layer, head}, .n = n, .options = cut(options_, n), .earlier = {}, .source = source_};
}

void HeadSurvey::start() {
  started_ = true;
  if (!source_) return;
  stop();
  std::deque<Job> jobs;
  for (const auto& layer : source_->layers()) {
    for (Index head = 0; head < layer.heads; ++head) {
      Job job = job_for(layer, head);
      const auto known = heads_.find(job.place);
      if (known != heads_.end()) {
        if (!known->second.stale) continue;
        job.earlier = known->second.summary;
      }
      jobs.push_back(std::move(job));
    }
  }
  const std::lock_guard lock(mutex_);
  waiting_ = std::move(jobs);
  changed_.notify_one();
}

void HeadSurvey::cancel() {
  started_ = false;
  stop();
}

void HeadSurvey::stop() {
  poll();  // what has finished belongs to the results
  const std::lock_guard lock(mutex_);
  waiting_.clear();
  ++round_;
  running_.request_stop();
}

void HeadSurvey::hold(bool held) {
  const std::lock_guard lock(mutex_);
  if (held == held_) return;
  held_ = held;
  if (held) {
    running_.request_stop();
  } else {
    changed_.notify_one();
  }
}

void HeadSurvey::poll() {
  std::vector<Arrival> arrived;
  std::uint64_t round = 0;
  {
    const std::lock_guard lock(mutex_);
    arrived = std::exchange(arrived_, {});
    round = round_;
  }
  for (Arrival& arrival : arrived) {
    if (arrival.round != round) continue;
    heads_[arrival.place] = std::move(arrival.head);
    seconds_ += arrival.seconds;
    ++measured_;
    ++version_;
  }
}

SurveyProgress HeadSurvey::progress() const {
  SurveyProgress progress;
  progress.total = total_;
  progress.done = std::ranges::count_if(heads_, [](const auto& entry) { return !entry.second.stale; });
  if (measured_ > 0) {
    progress.seconds_left = seconds_ / static_cast<double>(measured_) * static_cast<double>(progress.total - progress.done);
  }
  const std::lock_guard lock(mutex_);
  const bool work = started_ && (!waiting_.empty() || working_ || !arrived_.empty());
  progress.held = work && held_;
  progress.running = work && !held_;
  return progress;
}

void HeadSurvey::work(const std::stop_token& quit) {
  convbasis::lower_own_priority();
  std::unique_lock lock(mutex_);
  while (changed_.wait(lock, quit, [this] { return !held_ && !waiting_.empty(); })) {
    Job job = std::move(waiting_.front());
    waiting_.pop_front();
    const std::uint64_t round = round_;
    running_ = std::stop_source();
    const std::stop_token stop = running_.get_token();
    working_ = true;
    lock.unlock();
    Arrival arrival{.round = round, .place = job.place, .head = {}, .seconds = 0.0};
    bool finished = true;
    const auto began = Clock::now();
    try {
      arrival.head = run(job, stop);
    } catch (const convbasis::Cancelled&) {
      finished = false;
    }
    arrival.seconds = std::chrono::duration<double>(Clock::now() - began).count();
    lock.lock();
    working_ = false;
    if (round_ != round) continue;
    if (finished) {
      arrived_.push_back(std::move(arrival));
    } else {
      waiting_.push_front(std::move(job));  // it was held
    }
    if (Clock::now() - last_wake_ < wake_interval && !waiting_.empty()) continue;
    last_wake_ = Clock::now();
    lock.unlock();
    wake_();
    lock.lock();
  }
}

SurveyedHead HeadSurvey::run(const Job& job, const std::stop_token& stop) {
  convbasis::RunContext context;
  context.stop = stop;
  context.threads = std::max(1, convbasis::thread_count({}) - 1);
  SurveyedHead result;
  try {
    const auto tensors = job.source->load(job.place.first, job.place.second, job.n);
    context.check();
    result.summary = std::make_shared<const HeadSummary>(
        job.earlier ? convbasis::with_k(*job.earlier, tensors.view(), job.options.recover.k, context)
                    : convbasis::summarize_head(tensors.view(), job.options, context));
  } catch (const convbasis::Cancelled&) {
    throw;
  } catch (const std::bad_alloc&) {
    result.failure = "not enough memory for this; a smaller n needs less";
  } catch (const std::exception& error) {
    result.failure = error.what();
  }
  return result;
}

}  // namespace convscope
