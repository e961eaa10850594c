#include "state/head_survey.h"

#include "analysis/exact_part.h"
#include "core/errors.h"
#include "core/priority.h"
#include "core/threads.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <new>
#include <utility>

namespace convscope {

namespace {

using convbasis::HeadSummary;
using convbasis::Ladder;
using Clock = std::chrono::steady_clock;

/// Frames are drawn for results; more of them than this a second would take the time that the work needs.
constexpr auto wake_interval = std::chrono::milliseconds(250);

/// The same results but for what take_other_k() and take_other_ladder() make good.
bool same_but_k(SurveyOptions a, const SurveyOptions& b) {
  a.summary.recover.k = b.summary.recover.k;
  return a.summary == b.summary;
}

/// What a layer of fewer tokens allows.
SurveyOptions cut(SurveyOptions options, Index n) {
  auto& recover = options.summary.recover;
  recover.k = std::clamp<Index>(recover.k, 1, n);
  recover.T = std::clamp<Index>(recover.T, 1, n);
  auto& ladder = options.ladder;
  ladder.band = std::clamp<Index>(ladder.band, 0, n);
  ladder.columns = std::clamp<Index>(ladder.columns, 0, n);
  ladder.k = std::clamp<Index>(ladder.k, 1, n);  // of k = 0, rank one alone, one lag vector is still worth knowing
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
  const bool summaries = progress.done < progress.total;
  if (progress.complete()) return fmt::format("{} {}{}", progress.total, heads, progress.ladders_total > 0 ? ", ladders" : "");
  const std::string count = summaries ? fmt::format("{} of {} {}", progress.done, progress.total, heads)
                                      : fmt::format("{} {}, ladders of {}", progress.total, heads, progress.ladders_done);
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

void HeadSurvey::want(std::shared_ptr<const Source> source, Index n, const SurveyOptions& options) {
  if (source == source_ && n == n_ && options == options_) return;
  const bool same = source == source_ && n == n_ && same_but_k(options, options_);
  stop();
  source_ = std::move(source);
  n_ = n;
  options_ = options;
  if (same) {
    take_other_k();
    take_other_ladder();
  } else {
    forget();
  }
  if (started_) start();
}

void HeadSurvey::forget() {
  heads_.clear();
  ++version_;
  summary_pace_ = ladder_pace_ = {};
  total_ = 0;
  if (!source_) return;
  for (const auto& layer : source_->layers()) total_ += layer.heads;
}

void HeadSurvey::take_other_k() {
  ++version_;
  for (auto& [place, head] : heads_) {
    if (!head.summary) continue;
    const Index k = cut(options_, head.summary->n).summary.recover.k;
    head.stale = head.summary->options.recover.k != k;
    if (!head.stale) continue;
    if (auto known = convbasis::with_known_k(*head.summary, k)) {
      head.summary = std::make_shared<const HeadSummary>(std::move(*known));
      head.stale = false;
    }
  }
}

void HeadSurvey::take_other_ladder() {
  bool other = false;
  for (auto& [place, head] : heads_) {
    if (!head.ladder) {
      head.ladder_failure.clear();  // which may not fail now
      continue;
    }
    head.ladder_stale = head.ladder->options != cut(options_, head.ladder->n).ladder;
    other = other || head.ladder_stale;
  }
  if (other) ladder_pace_ = {};  // k matters for the time
}

HeadSurvey::Job HeadSurvey::job_for(const convbasis::LayerInfo& layer, Index head) const {
  Job job;
  job.place = {layer.layer, head};
  job.n = std::clamp<Index>(n_, 1, layer.size);
  job.options = cut(options_, job.n);
  job.source = source_;
  return job;
}

std::deque<HeadSurvey::Job> HeadSurvey::jobs() const {
  std::deque<Job> summaries;
  std::deque<Job> ladders;
  for (const auto& layer : source_->layers()) {
    for (Index head = 0; head < layer.heads; ++head) {
      Job job = job_for(layer, head);
      const auto place = heads_.find(job.place);
      const SurveyedHead known = place == heads_.end() ? SurveyedHead{} : place->second;
      if (!known.failure.empty()) continue;
      const bool has_ladder = (known.ladder && !known.ladder_stale) || !known.ladder_failure.empty();
      if (options_.ladders && job.n <= ladder_limit && !has_ladder) {
        ladders.push_back(job);
        ladders.back().ladder = true;
      }
      if (known.summary && !known.stale) continue;
      job.earlier = known.summary;
      summaries.push_back(std::move(job));
    }
  }
  std::ranges::move(ladders, std::back_inserter(summaries));
  return summaries;
}

void HeadSurvey::start() {
  started_ = true;
  if (!source_) return;
  stop();
  std::deque<Job> wanted = jobs();
  const std::lock_guard lock(mutex_);
  waiting_ = std::move(wanted);
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
    if (many_threads_) running_.request_stop();  // and begun again with one
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
    if (arrival.round == round) take(std::move(arrival));
  }
}

void HeadSurvey::take(Arrival arrival) {
  Pace& pace = arrival.ladder ? ladder_pace_ : summary_pace_;
  pace.seconds += arrival.seconds;
  ++pace.jobs;
  ++version_;
  SurveyedHead& head = heads_[arrival.place];
  if (arrival.ladder) {
    head.ladder = std::move(arrival.head.ladder);
    head.ladder_failure = std::move(arrival.head.ladder_failure);
    head.ladder_stale = false;
  } else {
    head.summary = std::move(arrival.head.summary);
    head.failure = std::move(arrival.head.failure);
    head.stale = false;
  }
}

SurveyProgress HeadSurvey::progress() const {
  SurveyProgress progress;
  progress.total = total_;
  if (source_ && options_.ladders) {
    for (const auto& layer : source_->layers()) {
      if (std::min(n_, layer.size) <= ladder_limit) progress.ladders_total += layer.heads;
    }
  }
  for (const auto& [place, head] : heads_) {
    if ((head.summary && !head.stale) || !head.failure.empty()) ++progress.done;
    const bool ladder = (head.ladder && !head.ladder_stale) || !head.ladder_failure.empty() || !head.failure.empty();
    if (ladder && progress.ladders_total > 0) ++progress.ladders_done;
  }
  progress.ladders_done = std::min(progress.ladders_done, progress.ladders_total);
  progress.seconds_left = progress.done < progress.total ? summary_pace_.left(progress.total - progress.done)
                                                         : ladder_pace_.left(progress.ladders_total - progress.ladders_done);
  const std::lock_guard lock(mutex_);
  const bool work = started_ && (!waiting_.empty() || working_ || !arrived_.empty());
  progress.held = work && held_;
  progress.running = work && !held_;
  return progress;
}

void HeadSurvey::work(const std::stop_token& quit) {
  convbasis::lower_own_priority();
  std::unique_lock lock(mutex_);
  while (changed_.wait(lock, quit, [this] { return may_begin(); })) {
    Job job = std::move(waiting_.front());
    waiting_.pop_front();
    const std::uint64_t round = round_;
    running_ = std::stop_source();
    convbasis::RunContext context;
    context.stop = running_.get_token();
    context.threads = job.one_thread ? 1 : std::max(1, convbasis::thread_count({}) - 1);
    many_threads_ = context.threads > 1;
    working_ = true;
    lock.unlock();
    Arrival arrival{.round = round, .place = job.place, .ladder = job.ladder, .head = {}, .seconds = 0.0};
    bool finished = true;
    const auto began = Clock::now();
    try {
      arrival.head = run(job, context);
    } catch (const convbasis::Cancelled&) {
      finished = false;
    }
    arrival.seconds = std::chrono::duration<double>(Clock::now() - began).count();
    lock.lock();
    working_ = many_threads_ = false;
    if (round_ != round) continue;
    if (!finished) {
      job.one_thread = true;
      waiting_.push_front(std::move(job));
      continue;
    }
    arrived_.push_back(std::move(arrival));
    if (Clock::now() - last_wake_ < wake_interval && may_begin()) continue;
    last_wake_ = Clock::now();
    lock.unlock();
    wake_();
    lock.lock();
  }
}

SurveyedHead HeadSurvey::run(const Job& job, const convbasis::RunContext& context) {
  SurveyedHead result;
  std::string& failure = job.ladder ? result.ladder_failure : result.failure;
  try {
    const auto tensors = job.source->load(job.place.first, job.place.second, job.n);
    context.check();
    const auto head = tensors.view();
    const auto& summary = job.options.summary;
    if (job.ladder) {
      const auto exact = convbasis::exact_part(head, context);
      result.ladder = std::make_shared<const Ladder>(convbasis::make_ladder(head, exact, job.options.ladder, context));
    } else {
      result.summary =
          std::make_shared<const HeadSummary>(job.earlier ? convbasis::with_k(*job.earlier, head, summary.recover.k, context)
                                                          : convbasis::summarize_head(head, summary, context));
    }
  } catch (const convbasis::Cancelled&) {
    throw;
  } catch (const std::bad_alloc&) {
    failure = "not enough memory for this; a smaller n needs less";
  } catch (const std::exception& error) {
    failure = error.what();
  }
  return result;
}

}  // namespace convscope
