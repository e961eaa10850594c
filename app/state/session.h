/// \file
/// What the window shows and what it wants to see: the document behind all panels. No window in here.
#pragma once

#include "state/analysis_runner.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace convscope {

/// Where to begin in a source that is opened; nothing set means its first layer and head.
struct HeadChoice {
  std::optional<Index> layer;
  std::optional<Index> head;
};

/// The open source, the wanted request and the last finished result. Panels read it and call its verbs, which return at once; the
/// work is done on another thread and arrives with the next poll(). One thread only (the window's).
class Session {
 public:
  /// `wake` is called from another thread when poll() has something to do.
  explicit Session(std::function<void()> wake);

  /// Opens files together in place of what is open. When that fails the old source and result stay, and failure() says why.
  void open(std::vector<std::filesystem::path> paths, HeadChoice choice = {});
  /// The same with what the user settled about them.
  void open_as(FilesRecipe files, HeadChoice choice = {});
  /// The built-in example, or a planted input (with a notice) when the program came without it.
  void open_example(HeadChoice choice = {});
  void plant(const convbasis::PlantedOptions& options);
  /// Takes over a source that is open elsewhere, and asks for one of its heads.
  void adopt(std::shared_ptr<const Source> source, const AnalysisRequest& request);
  /// Asks for another head, n or other parameters; cut to what the source allows. A newer wish replaces the older.
  void want(const AnalysisRequest& request);
  /// Stops the work; the last result stays, and nothing is started until the next wish.
  void cancel();
  /// From here on heads are computed on this device, the one on screen anew. While it is not known nothing is started.
  void compute_on(const ChosenDevice& device) { device_ = device; }
  /// Takes what has finished and starts what is wanted. Call once a frame.
  void poll();

  const std::shared_ptr<const Source>& source() const { return source_; }  ///< null until something was opened
  const AnalysisRequest& wanted() const { return wanted_; }                ///< meaningful with a source only
  /// The last success; its analysis is null until there is one. Its source can be an older one than source().
  const AnalysisResult& result() const { return result_; }
  /// result() answers an older request, or is of another device.
  bool stale() const { return result_.analysis && !answers(result_.request, result_.accelerator); }
  bool busy() const { return progress().busy; }
  /// True while poll() has something to start.
  bool awaits_poll() const { return opening_ || (source_ && !is_asked()); }
  /// The wanted head is not begun because a GPU is still being looked for.
  bool waits_for_device() const { return source_ && !opening_ && !device_.known_for(wanted_.n) && !is_asked(); }
  Progress progress() const { return runner_.progress(); }

  /// The last error, until dismissed or until the next wish.
  const std::optional<Failure>& failure() const { return failure_; }
  void fail(Failure failure) { failure_ = std::move(failure); }
  /// The files that the newest wish to open could not be opened with; nothing once another wish came. The user may know better
  /// what is in them.
  const std::optional<FilesRecipe>& refused() const { return refused_; }
  /// Something worth saying that is not an error.
  const std::string& notice() const { return notice_; }
  void note(std::string text) { notice_ = std::move(text); }
  void dismiss();

  /// Relative errors measured so far, by layer and head, of this source with the wanted n and parameters.
  const std::map<std::pair<Index, Index>, double>& head_errors() const { return head_errors_; }

 private:
  void begin_open(SourceRecipe recipe, HeadChoice choice);
  void take(OpenResult opened);
  void take(AnalysisResult analysed);
  /// Whether what was computed so is what is wanted.
  bool answers(const AnalysisRequest& request, const std::shared_ptr<const convbasis::Accelerator>& accelerator) const;
  bool is_asked() const { return asked_ && answers(asked_->request, asked_->accelerator); }

  std::shared_ptr<const Source> source_;
  AnalysisRequest wanted_;
  ChosenDevice device_;
  /// What the runner was last asked for; nothing: ask with the next poll.
  struct Asked {
    AnalysisRequest request;
    std::shared_ptr<const convbasis::Accelerator> accelerator;
  };
  std::optional<Asked> asked_;
  AnalysisResult result_;
  std::optional<Failure> failure_;
  std::string notice_;
  std::map<std::pair<Index, Index>, double> head_errors_;
  std::uint64_t newest_open_ = 0;
  bool opening_ = false;
  SourceRecipe being_opened_;
  std::optional<FilesRecipe> refused_;
  HeadChoice choice_;      ///< for the source being opened
  AnalysisRunner runner_;  ///< last: its thread ends before the rest goes
};

}  // namespace convscope
