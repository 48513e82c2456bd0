-- example_complex
--
--   create_entry_group --.
--   create_tag_template -+- create_tag -- list_tags -- delete_tag

select df.create_workflow('example_complex',
  steps => array[

  df.step('create_entry_group', run => df.shell('echo create_entry_group')),
  df.step('create_tag_template', run => df.shell('echo create_tag_template')),
  df.step('create_tag', after => '{create_entry_group,create_tag_template}', run => df.shell('echo create_tag')),
  df.step('list_tags', after => '{create_tag}', run => df.shell('echo list_tags')),
  df.step('delete_tag', after => '{list_tags}', run => df.shell('echo delete_tag'))
]);
-- pgdurable import: graph facbc439, text 8d018f0f. Without this line the file is yours alone and import leaves it be.
