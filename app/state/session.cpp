#include "state/session.h"

#include "core/errors.h"
#include "state/assets.h"

#include <fmt/format.h>
#include <algorithm>

namespace convscope {

namespace {

/// Equal when two requests differ in nothing but the head.
bool same_settings(AnalysisRequest a, const AnalysisRequest& b) {
  a.layer = b.layer;
  a.head = b.head;
  return a == b;
}

}  // namespace

Session::Session(std::function<void()> wake) : runner_(std::move(wake)) {}

void Session::begin_open(SourceRecipe recipe, HeadChoice choice) {
  dismiss();
  opening_ = true;
  choice_ = choice;
  being_opened_ = recipe;
  refused_.reset();
  runner_.open(++newest_open_, std::move(recipe));
}

void Session::open(std::vector<std::filesystem::path> paths, HeadChoice choice) {
  begin_open(FilesRecipe{std::move(paths)}, choice);
}

void Session::open_as(FilesRecipe files, HeadChoice choice) { begin_open(std::move(files), choice); }

void Session::open_example(HeadChoice choice) {
  if (const auto path = find_asset(example_asset)) {
    open({*path}, choice);
  } else {
    plant({});
    note(fmt::format("The built-in example ({}) was not found; this is a planted input.", example_asset));
  }
}

void Session::plant(const convbasis::PlantedOptions& options) { begin_open(options, {}); }

void Session::adopt(std::shared_ptr<const Source> source, const AnalysisRequest& request) {
  if (!source) return;
  cancel();
  dismiss();
  refused_.reset();
  source_ = std::move(source);
  head_errors_.clear();
  want(request);
  asked_.reset();
}

void Session::want(const AnalysisRequest& request) {
  if (!source_) return;
  try {
    const auto& layer = source_->layer(request.layer);
    AnalysisRequest wish = clamped(request, layer.size);
    // Whoever turns a parameter of Recover wants to see what it finds; starts chosen by hand belong to one head.
    if (!(wish.options() == wanted_.options()) || wish.layer != wanted_.layer || wish.head != wanted_.head) wish.starts.clear();
    wish.source = source_->id();
    wish.head = std::clamp<Index>(wish.head, 0, layer.heads - 1);
    if (!same_settings(wish, wanted_)) head_errors_.clear();
    // The same wish again after a cancel is a wish to try again.
    if (wish != wanted_ || !busy()) asked_.reset();
    wanted_ = wish;
    dismiss();
  } catch (const convbasis::Error& error) {
    fail({Failure::Kind::argument, error.what()});
  }
}

void Session::cancel() {
  runner_.cancel();
  opening_ = false;
  asked_ = Asked{wanted_, device_.accelerator(wanted_.n)};
}

bool Session::answers(const AnalysisRequest& request, const std::shared_ptr<const convbasis::Accelerator>& accelerator) const {
  return request == wanted_ && accelerator == device_.accelerator(wanted_.n);  // null, too, while it is not known
}

void Session::dismiss() {
  failure_.reset();
  notice_.clear();
}

void Session::poll() {
  if (auto opened = runner_.take_opened()) take(std::move(*opened));
  if (auto analysed = runner_.take_analysis()) take(std::move(*analysed));
  if (!source_ || opening_ || is_asked() || waits_for_device()) return;
  asked_ = Asked{wanted_, device_.accelerator(wanted_.n)};
  if (result_.last && !stale()) {
    runner_.cancel();  // turned back to what is on screen already
  } else {
    runner_.analyze(source_, wanted_, device_);
  }
}

void Session::take(OpenResult opened) {
  if (opened.id != newest_open_ || !opening_) return;  // a newer one is on its way, or this one was cancelled
  opening_ = false;
  asked_.reset();  // opening stopped the analysis that ran
  if (!opened.source) {
    if (const auto* files = std::get_if<FilesRecipe>(&being_opened_)) refused_ = *files;
    fail(std::move(opened.failure));
    return;
  }
  source_ = std::move(opened.source);
  head_errors_.clear();
  AnalysisRequest request = wanted_;
  request.source = source_->id();
  const auto& first = source_->layers().front();
  request.layer = choice_.layer.value_or(first.layer);
  request.head = choice_.head.value_or(0);
  try {
    const auto& layer = source_->layer(request.layer);
    if (request.head < 0 || request.head >= layer.heads) {
      throw convbasis::InvalidArgument(
          fmt::format("head {} does not exist: layer {} has heads 0 to {}", request.head, request.layer, layer.heads - 1));
    }
  } catch (const convbasis::Error& error) {
    fail({Failure::Kind::argument, error.what()});
    request.layer = first.layer;
    request.head = 0;
  }
  const Index size = source_->layer(request.layer).size;
  request.n = size;
  wanted_ = clamped(request, size);
}

void Session::take(AnalysisResult analysed) {
  if (!analysed.analysis) {
    if (analysed.request == wanted_) fail(std::move(analysed.failure));
    return;
  }
  const bool assessed = analysed.analysis->assessed();
  if (assessed && analysed.request.source == wanted_.source && same_settings(analysed.request, wanted_)) {
    head_errors_[{analysed.request.layer, analysed.request.head}] = analysed.analysis->error.relative_error;
  }
  result_ = std::move(analysed);
}

}  // namespace convscope
