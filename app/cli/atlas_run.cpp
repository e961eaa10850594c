#include "cli/atlas_run.h"

#include "analysis/atlas_journal.h"
#include "analysis/head_atlas_source.h"
#include "cli/atlas_page.h"
#include "cli/atlas_ranks.h"
#include "cli/atlas_results.h"
#include "cli/console.h"
#include "cli/input_options.h"
#include "cli/long_work.h"
#include "cli/mpi_transport.h"
#include "core/cost_model.h"
#include "core/memory.h"
#include "core/threads.h"
#include "data/npy_writer.h"

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

namespace convscope {
namespace {

using convbasis::Activations;
using convbasis::AtlasJournal;
using convbasis::AtlasManifest;
using convbasis::AtlasPart;
using convbasis::HeadAtlasEntry;
using convbasis::InvalidArgument;
using convbasis::RunContext;
using Entries = std::map<Index, HeadAtlasEntry>;

/// At once, whatever a progress bar is doing.
void warn(const std::string& line) {
  fmt::print(stderr, "{}convscope: warning: {}\n", isatty(STDERR_FILENO) == 1 ? "\r\x1b[K" : "", printable(line));
}

/// The open files and what is to be made of them: the same in every rank.
struct Job {
  Activations activations;
  AtlasManifest manifest;
};

Job open_job(const AtlasRunOptions& options) {
  Job job{Activations::open(files_or_example(options.files), options.hints), {}};
  AtlasManifest& manifest = job.manifest;
  manifest.version = CONVSCOPE_VERSION;
  manifest.file = job.activations.display_name();
  manifest.model = job.activations.model();
  manifest.fingerprint = convbasis::fingerprint_of(job.activations);
  manifest.precision = options.precision;
  manifest.n = options.n;
  manifest.options = options.atlas;
  manifest.heads = convbasis::atlas_heads(job.activations, options.layers, options.heads);
  convbasis::require_valid(manifest, job.activations);
  return job;
}

/// What a head takes at most: its matrix several times over where factors of it are made.
double bytes_for_head(const Job& job) {
  double most = 0.0;
  for (const convbasis::LayerInfo& layer : job.activations.layers()) {
    const auto n = static_cast<double>(job.manifest.n == 0 ? layer.size : std::min(job.manifest.n, layer.size));
    const double vectors = 8.0 * n * static_cast<double>(layer.width + layer.value_width + job.manifest.options.summary.most_k);
    most = std::max(most, 3.0 * vectors + (job.manifest.options.ladder && n <= 4096.0 ? 24.0 * n * n : 0.0));
  }
  return most;
}

/// Heads side by side need no thread to wait for another, so each has one thread, unless there are fewer heads than threads or
/// too little memory. The entries are the same either way.
AtlasWorkers::Look look_with(const Job& job, int threads_for_each) {
  return [&job, threads_for_each](Index head, const std::stop_token& stop) {
    RunContext context;
    context.threads = threads_for_each;
    context.stop = stop;
    return convbasis::make_atlas_record(job.activations, job.manifest, head, context);
  };
}

AtlasTask task_of(const Job& job, const RunContext& context, const RankTransport* ranks, Index todo) {
  const int threads = context.threads == 0 && ranks != nullptr ? ranks->processors() : convbasis::thread_count(context);
  const Index for_this_rank = ranks == nullptr ? todo : (todo + ranks->size() - 1) / ranks->size();
  const double room = 0.5 * static_cast<double>(convbasis::available_memory().value_or(std::uint64_t{1} << 40U));
  const Index most = std::clamp<Index>(static_cast<Index>(room / bytes_for_head(job)), 1, std::max<Index>(1, for_this_rank));
  const int at_once = static_cast<int>(std::min<Index>(threads, most));
  return {.identity = convbasis::checksum(convbasis::atlas_manifest_text(job.manifest)),
          .threads = at_once,
          .look = look_with(job, std::max(1, threads / at_once))};
}

/// Rank 0 reports; any other only has to say what would be wrong.
void follow(const AtlasRunOptions& options, RankTransport& ranks, const RunContext& context) {
  std::optional<Job> job;
  AtlasTask task{.identity = "none", .threads = 1, .look = {}};
  std::string failure;
  try {
    job.emplace(open_job(options));
    task = task_of(*job, context, &ranks, std::ssize(job->manifest.heads));
  } catch (const convbasis::Error& error) {
    failure = error.what();
  }
  follow_atlas(task, failure, ranks, context);
}

std::filesystem::path with_suffix(std::filesystem::path path, const std::string& suffix) {
  path += suffix;
  return path;
}

/// Null where there is no file to keep it beside.
std::unique_ptr<AtlasJournal> open_journal(const AtlasRunOptions& options, const AtlasManifest& manifest) {
  const std::filesystem::path output = first_output(options);
  if (output.empty()) return nullptr;
  const std::string suffix =
      options.shard ? fmt::format(".shard-{}-of-{}", options.shard->number, options.shard->count) : std::string(".journal");
  std::unique_ptr<AtlasJournal> journal;
  write_result([&] { journal = std::make_unique<AtlasJournal>(with_suffix(output, suffix), manifest, options.restart); });
  if (journal->damaged() > 0)
    warn(fmt::format("{}: {} damaged lines are left out", journal->path().string(), journal->damaged()));
  return journal;
}

std::vector<Index> heads_to_do(const AtlasRunOptions& options, const AtlasManifest& manifest, const Entries& done) {
  const AtlasShard shard = options.shard.value_or(AtlasShard{});
  std::vector<Index> heads;
  for (Index head = shard.number - 1; head < std::ssize(manifest.heads); head += shard.count) {
    if (!done.contains(head)) heads.push_back(head);
  }
  return heads;
}

/// One entry for each head; throws Error when none is good.
AtlasResult result_of(AtlasManifest manifest, Entries&& entries) {
  AtlasResult result{std::move(manifest), {}};
  Index failed = 0;
  std::string first_failure;
  for (auto& place : entries) {
    HeadAtlasEntry& entry = place.second;
    if (!entry.failure.empty() && failed++ == 0) first_failure = entry.failure;
    result.entries.push_back(std::move(entry));
  }
  if (failed == std::ssize(result.entries)) throw convbasis::Error("every head failed, the first because " + first_failure);
  if (failed > 0) warn(fmt::format("{} of {} heads failed, the first because {}", failed, result.entries.size(), first_failure));
  return result;
}

void write_results(const AtlasRunOptions& options, const AtlasResult& result) {
  write_result([&] {
    if (!options.csv.empty()) convbasis::write_file_atomically(options.csv, atlas_csv(result));
    if (!options.html.empty()) convbasis::write_file_atomically(options.html, atlas_page(result));
    if (!options.json.empty() && options.json != "-") {
      using nlohmann::ordered_json;
      const std::string text = atlas_json(result).dump(1, ' ', false, ordered_json::error_handler_t::replace);
      convbasis::write_file_atomically(options.json, text + "\n");
    }
  });
  if (options.json == "-") {
    print_json(atlas_json(result));
  } else if (first_output(options).empty()) {
    print_atlas(result);
  }
}

void lead(const AtlasRunOptions& options, RankTransport* ranks, LongWork& work) {
  AtlasLeader leader(ranks, warn);
  Job job = open_job(options);
  const std::unique_ptr<AtlasJournal> journal = open_journal(options, job.manifest);
  Entries entries = journal ? journal->take_finished() : Entries{};
  const std::vector<Index> todo = heads_to_do(options, job.manifest, entries);
  const Index all = std::ssize(todo);
  Index done = 0;
  const auto finished = [&](Index head, const std::string& record) {
    if (journal) write_result([&] { journal->append(record); });
    entries.insert_or_assign(head, convbasis::parse_atlas_record(record).entry);
    ++done;
    work.context().report(fmt::format("{} of {} heads", done, all), static_cast<double>(done) / static_cast<double>(all));
  };
  if (!todo.empty()) leader.run(task_of(job, work.context(), ranks, all), todo, finished, work.context());
  work.finish();
  if (options.shard) {
    fmt::print("{}: {} heads, ready for convscope atlas --merge\n", printable(journal->path().string()),
               heads_to_do(options, job.manifest, {}).size());
  } else {
    write_results(options, result_of(std::move(job.manifest), std::move(entries)));
    if (journal) journal->remove();
  }
  leader.close();
}

/// What the parts lack, for a message.
std::string missing_text(const AtlasManifest& manifest, const Entries& entries) {
  Index first = 0;
  while (entries.contains(first)) ++first;
  const convbasis::AtlasPlace& place = manifest.heads[static_cast<std::size_t>(first)];
  return fmt::format("{} of {} heads are in none of these parts, the first of them layer {} head {}",
                     std::ssize(manifest.heads) - std::ssize(entries), manifest.heads.size(), place.layer, place.head);
}

void merge(const AtlasRunOptions& options) {
  std::optional<AtlasManifest> manifest;
  Entries entries;
  for (const std::filesystem::path& path : options.files) {
    AtlasPart part = convbasis::read_atlas_journal(path);
    if (part.damaged > 0) warn(fmt::format("{}: {} damaged lines are left out", path.string(), part.damaged));
    if (!manifest) manifest = part.manifest;
    const std::string differs = convbasis::difference(*manifest, part.manifest);
    if (!differs.empty()) {
      throw InvalidArgument(
          fmt::format("{} and {} are parts of different atlases: {}", options.files.front().string(), path.string(), differs));
    }
    entries.merge(part.entries);
  }
  if (std::ssize(entries) < std::ssize(manifest->heads)) {
    throw InvalidArgument(missing_text(*manifest, entries) + "; run the shards that are not done, and name the parts of all");
  }
  write_results(options, result_of(std::move(*manifest), std::move(entries)));
}

}  // namespace

std::filesystem::path first_output(const AtlasRunOptions& options) {
  if (!options.csv.empty()) return options.csv;
  if (!options.json.empty() && options.json != "-") return options.json;
  return options.html;
}

void run_atlas(const AtlasRunOptions& options) {
  if (options.merge) return merge(options);
  // How a product is computed decides its last digits; what was measured on this machine must not.
  convbasis::set_cost_model({});
  LongWork work(options.threads);
  const std::unique_ptr<RankTransport> ranks = open_mpi_transport();
  if (ranks && ranks->rank() > 0) return follow(options, *ranks, work.context());
  lead(options, ranks.get(), work);
}

}  // namespace convscope
